"""Tests of requests that are the same for every chat engine: what a request may contain, and its errors.

An engine's test file imports everything from here, and may define its own fixture `chat_engine`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PIL import ImageFile

from contract import image_loading
from contract.errors import BadImage, BadRequest, ContextTooLong, UnsupportedFeature
from contract.tasks.chat import ChatChunk
from tests.support.batching import feed_of
from tests.support.chat_engines import ask, drawn_image, image_part, request, run, text, uri, whole, with_images
from tests.support.control_tokens import check_control_tokens_are_text
from workers.engine import Call
from workers.toolkit.chat.answer import ChatChoice

ChatEngine = Callable[..., Any]


@pytest.fixture
def engine(chat_engine: ChatEngine) -> Any:
    return chat_engine("lm")


@pytest.fixture
def vision(chat_engine: ChatEngine) -> Any:
    return chat_engine("smolvlm")


def test_streamed_chunks_join_to_the_whole_answer(engine: Any) -> None:
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


def test_usage_chunk_is_last_and_without_choices(engine: Any) -> None:
    pieces = run(engine, request("Hello"))[0]
    assert isinstance(pieces[-2], ChatChunk)
    assert pieces[-2].choices == []
    assert pieces[-2].usage is not None
    assert pieces[-1] is None


def test_stop_string_ends_the_answer(engine: Any) -> None:
    free = text(ask(engine, "Hello", max_tokens=40))
    stop = free[8:11]
    answer = ask(engine, "Hello", max_tokens=40, stop=["never said", stop])
    assert text(answer) == free[: free.index(stop)]
    assert (answer.choices[0].finish_reason, answer.choices[0].stop_reason) == ("stop", stop)
    assert answer.usage is not None
    assert answer.usage.completion_tokens < 40


def test_max_completion_tokens_overrides_max_tokens(engine: Any) -> None:
    answer = ask(engine, "Hello", max_tokens=9, max_completion_tokens=3)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
    assert answer.choices[0].finish_reason == "length"


def test_same_seed_gives_the_same_answer(engine: Any) -> None:
    def draw(seed: int | None) -> str:
        return text(ask(engine, "Hello", temperature=1, seed=seed, max_tokens=24))

    assert draw(7) == draw(7)
    assert len({draw(7), draw(8), draw(None), draw(None)}) == 4


def test_seed_is_reproducible_in_a_batch(engine: Any) -> None:
    """Other requests in the batch do not use the request's random numbers."""
    seeded = request("Hello", temperature=1, seed=7, max_tokens=24)
    others = [request("Hi", temperature=1.5, max_tokens=9), request("Something else", max_tokens=30)]
    alone = text(whole(run(engine, seeded)[0]))
    assert text(whole(run(engine, others[0], seeded, others[1])[1])) == alone


def test_tiny_top_p_is_greedy(engine: Any) -> None:
    """With so little probability mass only one token remains, at any temperature."""
    greedy = text(ask(engine, "Hello", max_tokens=24))
    assert text(ask(engine, "Hello", temperature=1, top_p=1e-6, max_tokens=24)) == greedy
    assert text(ask(engine, "Hello", temperature=2, seed=1, max_tokens=24)) != greedy


def test_several_choices_differ_and_are_reproducible(engine: Any) -> None:
    first, second = (ask(engine, "Hello", n=3, temperature=1, seed=5, max_tokens=10) for _ in range(2))
    texts = [text(first, index) for index in range(3)]
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert texts == [text(second, index) for index in range(3)]
    assert texts[0] == text(ask(engine, "Hello", temperature=1, seed=5, max_tokens=10))
    assert first.usage is not None
    assert first.usage.completion_tokens == 30


def test_more_choices_than_rows_are_answered(engine: Any) -> None:
    answer = ask(engine, "Hello", n=11, max_tokens=3)
    assert len(answer.choices) == 11
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 33


def test_penalties_reduce_repetition(engine: Any) -> None:
    content = text(ask(engine, "Hello", frequency_penalty=2, presence_penalty=2, max_tokens=60))
    free = text(ask(engine, "Hello", max_tokens=60))
    assert len(set(content)) > len(set(free))


def test_too_long_prompt_error_says_by_how_much(engine: Any) -> None:
    answer = ask(engine, "", max_tokens=1)
    assert answer.usage is not None
    tokens_left = 4096 - answer.usage.prompt_tokens  # a byte is a token
    full = ask(engine, "x" * (tokens_left - 1), max_tokens=5)
    assert full.usage is not None
    assert full.usage.completion_tokens == 1  # the only token left
    assert full.choices[0].finish_reason == "length"
    with pytest.raises(ContextTooLong, match="too long by 10") as caught:
        ask(engine, "x" * (tokens_left + 9))
    assert caught.value.details == {"prompt_tokens": 4105, "context": 4096, "over": 10}


def test_too_long_conversation_loses_its_oldest_messages(engine: Any) -> None:
    def turns(*lengths: int) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": "x" * length} for length in lengths]}

    with pytest.raises(ContextTooLong):
        ask(engine, "", **turns(2000, 2000, 1000), truncation="disabled")
    cut = ask(engine, "", **turns(2000, 2000, 1000), truncation="auto")
    assert text(cut) == text(ask(engine, "", **turns(2000, 1000)))


def test_too_long_prompt_fails_alone(engine: Any) -> None:
    long, fine = run(engine, request("x" * 5000), request("Hello"))
    assert isinstance(long[0], ContextTooLong)
    assert text(whole(fine)) == text(ask(engine, "Hello"))


def test_options_set_context_and_template(chat_engine: ChatEngine) -> None:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    engine = chat_engine("lm", context=16, chat_template=template)
    answer = ask(engine, "0123456789", max_tokens=100)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (10, 16)


def test_disconnect_does_not_change_other_answers(engine: Any) -> None:
    cancelled, running = Call(request("Goodbye", max_tokens=40)), Call(request("Hello", max_tokens=40))
    pieces: list[Any] = []
    tokens_at_cancel = 0
    for call, piece in engine.chat(feed_of([cancelled, running])):
        if call is cancelled:
            assert not cancelled.cancelled, "no output for a disconnected client"
            if cancelled.done >= 3:
                cancelled.cancel()
                tokens_at_cancel = cancelled.done
        else:
            pieces.append(piece)
    assert text(whole(pieces)) == text(ask(engine, "Hello", max_tokens=40))
    assert cancelled.done == tokens_at_cancel < 40


def test_generation_stops_when_all_clients_disconnect(engine: Any) -> None:
    call = Call(request("Hello", max_tokens=4000))
    for _ in engine.chat(feed_of([call])):
        call.cancel()
    assert call.done == 1


def test_broken_image_fails_alone(vision: Any) -> None:
    broken = image_part(drawn_image())
    broken["image_url"]["url"] = broken["image_url"]["url"][:-400]
    bad, good = run(vision, request([broken]), request(with_images("Hi", drawn_image())))
    assert isinstance(bad[0], BadImage)
    assert len(bad) == 1
    assert text(whole(good)) == text(ask(vision, with_images("Hi", drawn_image())))


def test_images_beside_the_text_are_read(vision: Any) -> None:
    """Clients of Ollama's API put them there."""
    beside = [{"role": "user", "content": "Hi", "images": [uri(drawn_image()).partition(",")[2]]}]
    expected = ask(vision, with_images("Hi", drawn_image()))
    assert ask(vision, "", messages=beside).model_dump(include={"choices", "usage"}) == expected.model_dump(
        include={"choices", "usage"}
    )


@pytest.mark.parametrize("family", ["qwen2_5_vl", "smolvlm", "llava", "idefics3"])
def test_control_tokens_in_user_text_are_plain_text(family: str, chat_engine: ChatEngine) -> None:
    check_control_tokens_are_text(chat_engine(family))


def test_template_can_refuse_a_conversation(chat_engine: ChatEngine) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    with pytest.raises(BadRequest, match="System role not supported"):
        ask(chat_engine("llama"), "", messages=messages)


def test_model_without_vision_refuses_images(engine: Any) -> None:
    with pytest.raises(UnsupportedFeature, match="reads only text"):
        ask(engine, with_images("Hi", drawn_image()))


def test_developer_message_becomes_a_system_message(engine: Any) -> None:
    def instructed(role: str) -> str:
        return text(ask(engine, "", messages=[{"role": role, "content": "Be kind."}], max_tokens=24))

    assert instructed("developer") == instructed("system") != instructed("user")


def test_streamed_characters_are_not_split(engine: Any, models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is a token of this model, so most characters and the stop string take several."""
    from transformers import AutoTokenizer

    content = "안녕 👋🏽 é 끝"
    script = AutoTokenizer.from_pretrained(models("lm"))(content + "END and more", add_special_tokens=False)[
        "input_ids"
    ]
    tokens, push = iter(script), ChatChoice.push
    monkeypatch.setattr(ChatChoice, "push", lambda choice, token, ends: push(choice, next(tokens), ends))
    pieces = run(engine, request("Hello", stop="END", max_tokens=100))[0]
    texts = [c.delta.content or "" for p in pieces if isinstance(p, ChatChunk) for c in p.choices]
    assert "".join(texts) == content
    assert not any("\ufffd" in piece for piece in texts)
    assert len(texts) > 10


# Continuing the last message --------------------------------------------------------------------------------------


def turns(*words: str, role: str = "assistant") -> list[dict[str, Any]]:
    """A question, and the beginning of the answer."""
    return [{"role": "user", "content": "Hello"}, *({"role": role, "content": word} for word in words)]


def prompt_of(engine: Any, messages: list[dict[str, Any]], **fields: Any) -> str:
    """The prompt as the model reads it."""
    item = request("", messages=messages, **fields)
    if hasattr(engine, "_chat"):
        return str(engine._chat.loaded.tokenizer.decode(engine._chat.prompts.read(item).tokens))
    return str(engine._loaded.tokenizer.decode(engine._encoder.encode(item)["input_ids"][0]))


@pytest.mark.parametrize("family", ["lm", "smolvlm"])
def test_last_message_can_be_continued(family: str, chat_engine: ChatEngine) -> None:
    engine = chat_engine(family)
    opened = prompt_of(engine, turns())
    continued = prompt_of(engine, turns("So it <|begin|> is"), continue_final_message=True)
    assert continued.startswith(opened)
    assert continued.removeprefix(opened).strip() == "So it <|begin|> is"
    closed = prompt_of(engine, turns("So it <|begin|> is"), add_generation_prompt=False)
    assert closed.startswith(continued)
    assert len(closed) > len(continued), "the message ends, and no answer begins"
    answer = ask(engine, "", messages=turns("So it is"), continue_final_message=True, max_tokens=4)
    assert not text(answer).startswith("So it")


def test_only_an_assistants_message_can_be_continued(engine: Any) -> None:
    with pytest.raises(ValueError, match="assistant's message"):
        request("", messages=turns("So", role="user"), continue_final_message=True)
    with pytest.raises(ValueError, match="not both"):
        request("", messages=turns("So"), continue_final_message=True, add_generation_prompt=True)


def test_too_many_pixels_are_refused_before_any_is_decoded(vision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [image_part(drawn_image(colour)) for colour in ("red", "blue", "green")]
    monkeypatch.setattr(image_loading, "MAX_PIXELS_TOGETHER", 3 * 160 * 120 - 1)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decodes an image"))
    [error] = run(vision, request([*images, {"type": "text", "text": "?"}]))[0]
    assert isinstance(error, BadImage)
    assert error.message.endswith("pixels in all. Scale them down, or send fewer.")
    monkeypatch.setattr(image_loading, "MAX_PIXELS_TOGETHER", 3 * 160 * 120)
    monkeypatch.setattr(image_loading, "MAX_IMAGES_TOGETHER", 2)
    [error] = run(vision, request([*images, {"type": "text", "text": "?"}]))[0]
    assert isinstance(error, BadImage)
