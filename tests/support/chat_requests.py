"""What a chat request may ask for, and the errors for what is impossible: alike for every chat engine.

A test file of an engine imports all of this, and may have a fixture `chat_engine` of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.errors import BadImage, BadRequest, ContextTooLong, UnsupportedFeature
from contract.tasks.chat import ChatChunk
from tests.support.batching import feed_of
from tests.support.chat_engines import ask, part, picture, request, run, text, whole, with_pictures
from workers.engine import Call
from workers.toolkit.chat.answer import ChatChoice

ChatEngine = Callable[..., Any]


@pytest.fixture
def engine(chat_engine: ChatEngine) -> Any:
    return chat_engine("lm")


@pytest.fixture
def vision(chat_engine: ChatEngine) -> Any:
    return chat_engine("smolvlm")


def test_a_stream_is_the_whole_in_pieces(engine: Any) -> None:
    pieces = run(engine, request("Hello", max_tokens=40))[0]
    chunks = [piece for piece in pieces if isinstance(piece, ChatChunk)]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    assert all(delta.role is None for delta in deltas[1:])
    assert "".join(delta.content or "" for delta in deltas) == text(whole(pieces))
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["length"]
    assert len({chunk.id for chunk in chunks}) == 1


def test_usage_counts_prompt_and_answer(engine: Any) -> None:
    answer = ask(engine, "12345", max_tokens=7)
    longer = ask(engine, "1234567890", max_tokens=7)
    assert answer.usage is not None
    assert longer.usage is not None
    assert answer.usage.completion_tokens == 7
    assert longer.usage.prompt_tokens - answer.usage.prompt_tokens == 5  # a byte is a token
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 7


def test_the_usage_chunk_comes_last_and_without_choices(engine: Any) -> None:
    pieces = run(engine, request("Hello"))[0]
    assert isinstance(pieces[-2], ChatChunk)
    assert pieces[-2].choices == []
    assert pieces[-2].usage is not None
    assert pieces[-1] is None


def test_a_stop_text_ends_the_answer(engine: Any) -> None:
    free = text(ask(engine, "Hello", max_tokens=40))
    stop = free[8:11]
    answer = ask(engine, "Hello", max_tokens=40, stop=["never said", stop])
    assert text(answer) == free[: free.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens < 40


def test_the_newer_name_of_the_limit_wins(engine: Any) -> None:
    answer = ask(engine, "Hello", max_tokens=9, max_completion_tokens=3)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
    assert answer.choices[0].finish_reason == "length"


def test_a_seed_draws_alike_and_another_differently(engine: Any) -> None:
    def draw(seed: int | None) -> str:
        return text(ask(engine, "Hello", temperature=1, seed=seed, max_tokens=24))

    assert draw(7) == draw(7)
    assert len({draw(7), draw(8), draw(None), draw(None)}) == 4


def test_a_seed_holds_in_company(engine: Any) -> None:
    """Others in the batch neither take from its random numbers nor add to them."""
    mine = request("Hello", temperature=1, seed=7, max_tokens=24)
    others = [request("Hi", temperature=1.5, max_tokens=9), request("Something else", max_tokens=30)]
    alone = text(whole(run(engine, mine)[0]))
    assert text(whole(run(engine, others[0], mine, others[1])[1])) == alone


def test_top_p_leaves_only_the_likely(engine: Any) -> None:
    """So little probability mass that one token is left: greedy, however hot."""
    greedy = text(ask(engine, "Hello", max_tokens=24))
    assert text(ask(engine, "Hello", temperature=1, top_p=1e-6, max_tokens=24)) == greedy
    assert text(ask(engine, "Hello", temperature=2, seed=1, max_tokens=24)) != greedy


def test_several_choices_differ_and_can_be_had_again(engine: Any) -> None:
    first, second = (ask(engine, "Hello", n=3, temperature=1, seed=5, max_tokens=10) for _ in range(2))
    texts = [text(first, index) for index in range(3)]
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert texts == [text(second, index) for index in range(3)]
    assert texts[0] == text(ask(engine, "Hello", temperature=1, seed=5, max_tokens=10))
    assert first.usage is not None
    assert first.usage.completion_tokens == 30


def test_more_choices_than_a_batch_holds(engine: Any) -> None:
    answer = ask(engine, "Hello", n=11, max_tokens=3)
    assert len(answer.choices) == 11
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 33


def test_a_penalty_keeps_from_repeating(engine: Any) -> None:
    content = text(ask(engine, "Hello", frequency_penalty=2, presence_penalty=2, max_tokens=60))
    free = text(ask(engine, "Hello", max_tokens=60))
    assert len(set(content)) > len(set(free))


def test_a_prompt_beyond_the_context_is_told_by_how_much(engine: Any) -> None:
    answer = ask(engine, "", max_tokens=1)
    assert answer.usage is not None
    room = 4096 - answer.usage.prompt_tokens  # a byte is a token
    full = ask(engine, "x" * (room - 1), max_tokens=5)
    assert full.usage is not None
    assert full.usage.completion_tokens == 1  # what is left
    assert full.choices[0].finish_reason == "length"
    with pytest.raises(ContextTooLong, match="too long by 10") as caught:
        ask(engine, "x" * (room + 9))
    assert caught.value.details == {"prompt_tokens": 4105, "context": 4096, "over": 10}


def test_one_prompt_too_long_spares_its_company(engine: Any) -> None:
    long, fine = run(engine, request("x" * 5000), request("Hello"))
    assert isinstance(long[0], ContextTooLong)
    assert text(whole(fine)) == text(ask(engine, "Hello"))


def test_an_entry_may_bound_the_context_and_name_a_template(chat_engine: ChatEngine) -> None:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    engine = chat_engine("lm", context=16, chat_template=template)
    answer = ask(engine, "0123456789", max_tokens=100)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (10, 16)


def test_who_leaves_does_not_disturb_the_others(engine: Any) -> None:
    leaver, stayer = Call(request("Goodbye", max_tokens=40)), Call(request("Hello", max_tokens=40))
    seen: list[Any] = []
    left_at = 0
    for call, piece in engine.chat(feed_of([leaver, stayer])):
        if call is leaver:
            assert not leaver.cancelled, "a piece for someone who has left"
            if leaver.done >= 3:
                leaver.cancel()
                left_at = leaver.done
        else:
            seen.append(piece)
    assert text(whole(seen)) == text(ask(engine, "Hello", max_tokens=40))
    assert leaver.done == left_at < 40


def test_when_all_have_left_the_model_rests(engine: Any) -> None:
    call = Call(request("Hello", max_tokens=4000))
    for _ in engine.chat(feed_of([call])):
        call.cancel()
    assert call.done == 1


def test_a_broken_picture_is_told_and_spares_its_company(vision: Any) -> None:
    broken = part(picture())
    broken["image_url"]["url"] = broken["image_url"]["url"][:-400]
    bad, good = run(vision, request([broken]), request(with_pictures("Hi", picture())))
    assert isinstance(bad[0], BadImage)
    assert len(bad) == 1
    assert text(whole(good)) == text(ask(vision, with_pictures("Hi", picture())))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "smolvlm", "llava"])
def test_control_tokens_in_what_users_write_are_plain_text(family: str, chat_engine: ChatEngine) -> None:
    """Else they would count as pictures, or end the user's turn."""
    image = {"qwen2_5_vl": "<|image_pad|>"}.get(family, "<image>")
    answer = ask(chat_engine(family), with_pictures(f"What does {image} mean?", picture()))
    bare = ask(chat_engine(family), with_pictures("What does  mean?", picture()))
    assert answer.usage is not None
    assert bare.usage is not None
    assert answer.usage.prompt_tokens - bare.usage.prompt_tokens == len(image)


def test_a_template_may_refuse_a_conversation(chat_engine: ChatEngine) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    with pytest.raises(BadRequest, match="System role not supported"):
        ask(chat_engine("llama"), "", messages=messages)


def test_pictures_are_refused_by_a_model_without_vision(engine: Any) -> None:
    with pytest.raises(UnsupportedFeature, match="reads only text"):
        ask(engine, with_pictures("Hi", picture()))


def test_developer_message_becomes_a_system_message(engine: Any) -> None:
    def instructed(role: str) -> str:
        return text(ask(engine, "", messages=[{"role": role, "content": "Be kind."}], max_tokens=24))

    assert instructed("developer") == instructed("system") != instructed("user")


def test_what_the_model_says_comes_in_whole_characters(
    engine: Any, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte is a token of this model, so most characters and the stop text take several."""
    from transformers import AutoTokenizer

    words = "안녕 👋🏽 é 끝"
    script = AutoTokenizer.from_pretrained(models("lm"))(words + "END and more", add_special_tokens=False)["input_ids"]
    tokens, push = iter(script), ChatChoice.push
    monkeypatch.setattr(ChatChoice, "push", lambda choice, token, ends: push(choice, next(tokens), ends))
    pieces = run(engine, request("Hello", stop="END", max_tokens=100))[0]
    texts = [c.delta.content or "" for p in pieces if isinstance(p, ChatChunk) for c in p.choices]
    assert "".join(texts) == words
    assert not any("\ufffd" in piece for piece in texts)
    assert len(texts) > 10
