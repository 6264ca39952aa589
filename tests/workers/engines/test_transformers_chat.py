"""The chat engine says what transformers itself says: for each family, alone and in a batch."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.batching import feed_of
from tests.support.chat_engines import ask, load, picture, request, run, text, whole, with_pictures

FAMILIES = ["lm", "llama", "qwen2_5_vl", "smolvlm", "llava", "idefics3"]
VISION = [family for family in FAMILIES if family not in {"lm", "llama"}]
RED, BLUE, TALL = picture("red"), picture("blue"), picture("green", (100, 190))


def reference(folder: Path, words: str, images: list[Any], tokens: int) -> str:
    """The greedy answer of `model.generate`, with nothing of ours in between."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor

    vision = (folder / "processor_config.json").exists()
    auto = AutoModelForImageTextToText if vision else AutoModelForCausalLM
    model, processor = auto.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    parts = [{"type": "image"} for _ in images] + [{"type": "text", "text": words}]
    messages = [{"role": "user", "content": parts if vision else words}]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    pictures = {"images": images} if images else {}
    inputs = processor(text=[prompt], add_special_tokens=False, return_tensors="pt", **pictures)
    answer = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    return str(processor.decode(answer, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_is_what_generate_says(family: str, chat_engine: Callable[[str], Any], models: Any) -> None:
    answer = ask(chat_engine(family), "What is this, 네?", max_tokens=24)
    assert text(answer) == reference(models(family), "What is this, 네?", [], 24)


@pytest.mark.parametrize("family", VISION)
@pytest.mark.parametrize("images", [[RED], [RED, TALL]], ids=["one", "two"])
def test_greedy_with_pictures_is_what_generate_says(
    family: str, images: list[Any], chat_engine: Callable[[str], Any], models: Any
) -> None:
    answer = ask(chat_engine(family), with_pictures("Compare.", *images), max_tokens=24)
    assert text(answer) == reference(models(family), "Compare.", images, 24)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_answers_as_each_alone(family: str, chat_engine: Callable[[str], Any]) -> None:
    """Prompts and answers of different lengths: rows leave the batch one after another."""
    engine = chat_engine(family)
    words = ["Hi", "What is a rather long question, in so many words?", "Say more", "And you?"]
    requests = [request(word, max_tokens=tokens) for word, tokens in zip(words, [3, 30, 12, 1], strict=True)]
    together = [text(whole(pieces)) for pieces in run(engine, *requests)]
    assert together == [text(whole(run(engine, item)[0])) for item in requests]


@pytest.mark.parametrize("family", VISION)
def test_a_batch_with_pictures_answers_as_each_alone(family: str, chat_engine: Callable[[str], Any]) -> None:
    engine = chat_engine(family)
    contents = [with_pictures("Hm?", RED), with_pictures("What is in these?", BLUE, TALL), with_pictures("?", TALL)]
    requests = [request(content, max_tokens=tokens) for content, tokens in zip(contents, [16, 5, 24], strict=True)]
    together = [text(whole(pieces)) for pieces in run(engine, *requests)]
    assert together == [text(whole(run(engine, item)[0])) for item in requests]


@pytest.mark.parametrize("family", VISION)
def test_the_answer_depends_on_picture_and_words(family: str, chat_engine: Callable[[str], Any]) -> None:
    engine = chat_engine(family)
    contents = [with_pictures("What?", RED), with_pictures("What?", BLUE), with_pictures("Where?", RED)]
    answers = {text(ask(engine, content, max_tokens=24)) for content in contents}
    assert len(answers) == 3


@pytest.mark.parametrize("family", VISION)
def test_earlier_turns_and_their_pictures_count(family: str, chat_engine: Callable[[str], Any]) -> None:
    def turns(first: Any) -> list[dict[str, Any]]:
        return [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": with_pictures("Look.", first)},
            {"role": "assistant", "content": "I see."},
            {"role": "user", "content": with_pictures("And this?", TALL)},
        ]

    red, blue = (text(ask(chat_engine(family), "", messages=turns(first), max_tokens=24)) for first in (RED, BLUE))
    assert red != blue


def test_short_answers_end_before_long_ones(chat_engine: Callable[[str], Any]) -> None:
    from workers.engine import Call

    long, short = Call(request("Hello", max_tokens=30)), Call(request("Hello", max_tokens=2))
    closed = [call for call, piece in chat_engine("lm").chat(feed_of([long, short])) if piece is None]
    assert closed == [short, long]


def test_what_the_weights_cannot_do_is_not_offered(chat_engine: Callable[[str], Any]) -> None:
    assert "images" not in chat_engine("lm").loaded_features()
    assert "images" in chat_engine("smolvlm").loaded_features()


def test_the_demo_speaks_in_words(tmp_path: Path) -> None:
    from scripts.demo_models.__main__ import build
    from scripts.demo_models.chat import WORDS

    folder = build(tmp_path, "chat")
    assert "random numbers" in (folder / "README.md").read_text()
    engine = load(folder)
    said = text(ask(engine, with_pictures("What do you see?", RED), seed=1, max_tokens=20))
    words = re.findall(r"\w+", said)
    assert len(words) > 3
    assert set(words) <= set(WORDS)
