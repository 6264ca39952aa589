"""Newcomers join the answers at work between two steps, and everybody is answered as if alone."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.errors import BadImage, ContextTooLong, EngineFailed, OutOfMemory
from contract.tasks.chat import ChatRequest
from tests.support import batching
from tests.support.batching import feed_of
from tests.support.chat_engines import Piece, load, part, picture, request, run, text, whole, with_pictures
from workers.engine import Call

FAMILIES = ["lm", "llama", "qwen2_5_vl", "smolvlm", "llava", "idefics3"]
VISION = [*FAMILIES[2:], "paddleocr_vl"]
CACHES = ["sliding", "convolving", "linear"]
RED, TALL = picture("red"), picture("green", (100, 190))
LONG = "Tell me a rather long story, in so many words that it takes a while."

Engines = Callable[[str], Any]


@pytest.fixture
def engines(chat_engine: Engines, monkeypatch: pytest.MonkeyPatch) -> Engines:
    """Chat engines that say as much as they may: no token ends an answer."""

    def endless(family: str) -> Any:
        engine = chat_engine(family)
        monkeypatch.setattr(engine, "_ends", frozenset())
        return engine

    return endless


class Talk:
    """Answers to a first request and to newcomers `(n, request)`, who come when the first has `n` tokens."""

    def __init__(self, engine: Any, first: ChatRequest, *newcomers: tuple[int, ChatRequest], limit: int = 16) -> None:
        self.calls = [Call(first)]
        self.closed: list[int] = []
        self.pieces: list[list[Piece]] = [[]]
        waiting: deque[Call[Any]] = deque(self.calls)
        to_come = deque(newcomers)
        for call, piece in engine.chat(feed_of(waiting, limit)):
            self._note(call, piece)
            while to_come and to_come[0][0] <= self.calls[0].done:
                self.calls.append(Call(to_come.popleft()[1]))
                self.pieces.append([])
                waiting.append(self.calls[-1])

    def _note(self, call: Call[Any], piece: Piece) -> None:
        number = self.calls.index(call)
        self.pieces[number].append(piece)
        if piece is None:
            self.closed.append(number)

    @property
    def texts(self) -> list[str]:
        return [text(whole(pieces)) for pieces in self.pieces]


def alone(engine: Any, *requests: ChatRequest) -> list[str]:
    return [text(whole(run(engine, item)[0])) for item in requests]


@contextmanager
def steps(engine: Any) -> Iterator[list[tuple[int, int]]]:
    """Rows and columns of each run of the model; a step of all rows has one column."""
    seen: list[tuple[int, int]] = []

    def note(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        seen.append(tuple(inputs["input_ids"].shape))

    hook = engine._model.register_forward_pre_hook(note, with_kwargs=True)
    yield seen
    hook.remove()


@pytest.mark.parametrize("family", [*FAMILIES, *CACHES])
def test_who_joins_is_answered_as_alone_and_so_are_those_at_work(family: str, engines: Engines) -> None:
    """Shorter and longer prompts, two that come at once, answers that end before and after the first one's."""
    engine = engines(family)
    first = request(LONG, max_tokens=20)
    later = [request("Hi", max_tokens=3), request(LONG * 2, max_tokens=9), request("Say more", max_tokens=30)]
    with steps(engine) as seen:
        talk = Talk(engine, first, *zip([4, 9, 10], later, strict=True))
    assert talk.texts == alone(engine, first, *later)
    assert talk.closed == [1, 2, 0, 3]
    shared = [rows for rows, columns in seen if columns == 1]
    assert max(shared) == 3
    assert sum(shared) == 20 + 3 + 9 + 30 - 4, "the first tokens come of the prompts, and nobody takes part for nothing"
    assert len(shared) < 45


@pytest.mark.parametrize("family", VISION)
def test_pictures_and_words_share_their_steps(family: str, engines: Engines) -> None:
    engine = engines(family)
    first = request("Tell me a story", max_tokens=16)
    seen = request(with_pictures("What is this?", RED), max_tokens=20)
    two = request(with_pictures("And these?", TALL, RED), max_tokens=4)
    words = request("Hm?", max_tokens=12)
    with steps(engine) as runs:
        talk = Talk(engine, first, (3, seen), (4, two), (8, words))
    assert talk.texts == alone(engine, first, seen, two, words)
    assert max(rows for rows, _ in runs) == 3
    begun_by_a_picture = Talk(engine, seen, (5, words), (6, two))
    assert begun_by_a_picture.texts == alone(engine, seen, words, two)


@pytest.mark.parametrize("family", ["lm", "smolvlm"])
def test_a_seed_holds_whenever_one_joins(family: str, engines: Engines) -> None:
    engine = engines(family)
    first = request(LONG, temperature=1, seed=3, max_tokens=20)
    drawn = request("Hello", temperature=1, seed=7, top_p=0.9, max_tokens=16)
    several = request("Hello", temperature=1, seed=5, n=3, max_tokens=5)
    talk = Talk(engine, first, (5, drawn), (7, several))
    assert talk.texts == alone(engine, first, drawn, several)
    choices = [
        [text(whole(pieces), index) for index in range(3)] for pieces in (talk.pieces[2], run(engine, several)[0])
    ]
    assert choices[0] == choices[1]


def test_a_prompt_is_read_once_for_all_its_choices(engines: Engines) -> None:
    with steps(engine := engines("smolvlm")) as seen:
        run(engine, request(with_pictures("Hi", RED), n=3, temperature=1, max_tokens=4))
    assert [rows for rows, _ in seen] == [1, 3, 3, 3]


def test_a_short_answer_does_not_wait_for_a_long_one(engines: Engines) -> None:
    talk = Talk(engines("lm"), request(LONG, max_tokens=60), (30, request("Hi", max_tokens=2)))
    assert talk.closed == [1, 0]
    assert talk.calls[0].total == 60


async def test_so_it_is_through_the_batcher(engines: Engines) -> None:
    """A newcomer's whole answer comes while the long one is still being made."""
    house = batching.BatcherThread(engines("lm"))
    serves = house.engine.served()["chat"]
    long = house.batcher.submit(serves, Call(request(LONG, max_tokens=3000)))
    begun = await long.next()
    short = request("Hi", max_tokens=4)
    pieces = await batching.stream(house.batcher.submit(serves, Call(short)))
    assert not long.ended
    assert begun[-1] is not None
    long.call.cancel()
    house.close()
    assert text(whole(pieces)) == alone(house.engine, short)[0]


def test_columns_that_nobody_needs_any_more_are_forgotten(engines: Engines) -> None:
    """The cache is as wide as the longest row at work, not as the longest that ever was."""
    engine = engines("lm")
    widths: list[int] = []

    def note(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        widths.append(inputs["past_key_values"].get_seq_length())

    hook = engine._model.register_forward_pre_hook(note, with_kwargs=True)
    first, short = request(LONG * 9, max_tokens=6), request("Hi", max_tokens=12)
    talk = Talk(engine, first, (2, short))
    hook.remove()
    assert talk.texts == alone(engine, first, short)
    assert max(widths) > 600
    assert widths[-1] < 40


def test_no_more_rows_are_at_work_than_the_feed_allows(engines: Engines) -> None:
    engine = engines("lm")
    first, later = request(LONG, max_tokens=12), [request("Hi", n=5, max_tokens=4), request("Ho", max_tokens=4)]
    with steps(engine) as seen:
        talk = Talk(engine, first, *zip([2, 3], later, strict=True), limit=3)
    assert max(rows for rows, _ in seen) == 3
    assert talk.texts == alone(engine, first, *later)
    assert all(choice.message.content for choice in whole(talk.pieces[1]).choices)


def test_who_asks_for_many_choices_keeps_nobody_from_their_one(engines: Engines) -> None:
    engine = engines("lm")
    many, one = request(LONG, n=9, max_tokens=5), request("Hi", max_tokens=3)
    talk = Talk(engine, many, (2, one), (2, one), limit=2)
    assert talk.closed == [1, 2, 0]
    assert len({text(whole(talk.pieces[0]), index) for index in range(9)}) == 1
    assert talk.texts[1:] == alone(engine, one, one)


def test_choices_that_wait_leave_with_their_client(engines: Engines) -> None:
    many, stays = Call(request(LONG, n=9, max_tokens=5)), Call(request("Hi", max_tokens=3))
    said = []
    for call, piece in engines("lm").chat(feed_of([many, stays], limit=2)):
        many.cancel()
        said += [piece] if call is stays else []
    assert text(whole(said))


def test_a_newcomer_that_cannot_be_answered_disturbs_nobody(engines: Engines) -> None:
    engine = engines("smolvlm")
    first = request(LONG, max_tokens=12)
    broken = part(RED)
    broken["image_url"]["url"] = broken["image_url"]["url"][:-400]
    talk = Talk(engine, first, (3, request([broken])), (5, request("x" * 5000)))
    assert isinstance(talk.pieces[1][0], BadImage)
    assert isinstance(talk.pieces[2][0], ContextTooLong)
    assert text(whole(talk.pieces[0])) == alone(engine, first)[0]


def test_a_prompt_that_fails_in_the_model_fails_alone(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two come together, and one of them breaks the run in which both are read; a third needs too much memory."""
    engine = engines("lm")
    forward, (mark,) = engine._model.forward, engine._loaded.tokenizer("!")["input_ids"]

    def fragile(**inputs: Any) -> Any:
        columns = inputs["input_ids"].shape[-1]
        if columns > 1 and (inputs["input_ids"] == mark).any():
            raise MemoryError if columns > 100 else RuntimeError("as told")
        return forward(**inputs)

    first, fine = request(LONG, max_tokens=12), request("Hi", max_tokens=6)
    expected = alone(engine, first, fine)
    monkeypatch.setattr(engine._model, "forward", fragile)
    talk = Talk(engine, first, (3, request("a!")), (3, fine), (7, request("a!" * 50)))
    assert isinstance(talk.pieces[1][0], EngineFailed)
    assert isinstance(talk.pieces[3][0], OutOfMemory)
    assert [text(whole(talk.pieces[number])) for number in (0, 2)] == expected


def test_who_leaves_makes_room_at_once(engines: Engines) -> None:
    engine = engines("lm")
    leaver, stays = Call(request(LONG, max_tokens=40)), Call(request("Hi", max_tokens=5))
    said = []
    for call, piece in engine.chat(feed_of([leaver, stays], limit=1)):
        if call is stays:
            said.append(piece)
        elif leaver.done >= 3:
            leaver.cancel()
    assert leaver.done < 10
    assert text(whole(said)) == alone(engine, stays.request)[0]


def test_the_authors_penalty_sees_each_rows_own_tokens(models: Any, engines: Engines, tmp_path: Path) -> None:
    """transformers' own generate, one prompt at a time, says what is right."""
    folder = shutil.copytree(models("lm"), tmp_path / "penalized")
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**settings, "repetition_penalty": 1.8}))
    engine = load(folder)
    first, later = request(LONG, max_tokens=20), [request("Hi", max_tokens=9), request("What then?", max_tokens=9)]
    talk = Talk(engine, first, (4, later[0]), (4, later[1]))
    free = alone(engines("lm"), first, *later)
    for said, item, unpenalized in zip(talk.texts, [first, *later], free, strict=True):
        inputs = engine._prompts.encode(engine._prompts.conversation(item))
        tokens = engine._model.generate(**inputs, max_new_tokens=item.limit)[0, inputs["input_ids"].shape[-1] :]
        assert said == engine._decode(tokens.tolist()) != unpenalized


def test_a_model_whose_rows_cannot_be_joined_answers_in_turns(engines: Engines) -> None:
    """Several batches, a step of each: right answers, and the short one first."""
    engine = engines("mamba")
    first, later = request(LONG, max_tokens=16), [request("Hi", max_tokens=4), request("Ho", n=2, max_tokens=3)]
    with steps(engine) as seen:
        talk = Talk(engine, first, (3, later[0]), (3, later[1]))
    assert {rows for rows, columns in seen if columns == 1} == {1, 2}
    assert talk.texts == alone(engine, first, *later)
    assert talk.closed == [1, 2, 0]
    assert [text(whole(talk.pieces[2]), index) for index in range(2)] == [talk.texts[2]] * 2


def test_a_model_that_runs_code_of_its_own_has_one_batch_after_another(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines("lm")
    first, later = request(LONG, max_tokens=8), request("Hi", max_tokens=3)
    monkeypatch.setattr(type(engine._model), "is_remote_code", lambda model: True)
    talk = Talk(engine, first, (3, later))
    assert talk.closed == [0, 1]
    assert talk.texts == alone(engine, first, later)
