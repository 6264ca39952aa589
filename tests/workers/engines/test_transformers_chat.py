"""The answers of the chat engine equal those of transformers for each family, alone and in a batch."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.batching import feed_of
from tests.support.chat_engines import ask, drawn_image, load, request, run, text, whole, with_images
from tests.support.control_tokens import check_control_tokens_are_text

TEXT = ["lm", "llama", "sliding", "convolving", "linear", "mamba"]
VISION = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "llava", "idefics3", "paddleocr_vl", "gemma3"]
FAMILIES = [*TEXT, *VISION]
RED, BLUE, TALL = drawn_image("red"), drawn_image("blue"), drawn_image("green", (100, 190))


def reference(folder: Path, words: str, images: list[Any], tokens: int) -> str:
    """The greedy answer of `model.generate`, without any code of Enginehouse."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor

    vision = (folder / "processor_config.json").exists()
    auto = AutoModelForImageTextToText if vision else AutoModelForCausalLM
    model, processor = auto.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    parts = [{"type": "image"} for _ in images] + [{"type": "text", "text": words}]
    messages = [{"role": "user", "content": parts if vision else words}]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    image_inputs = {"images": images} if images else {}
    inputs = processor(text=[prompt], add_special_tokens=False, return_tensors="pt", **image_inputs)
    answer = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    return str(processor.decode(answer, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answer_equals_generate(family: str, chat_engine: Callable[[str], Any], models: Any) -> None:
    answer = ask(chat_engine(family), "What is this, 네?", max_tokens=24)
    assert text(answer) == reference(models(family), "What is this, 네?", [], 24)


@pytest.mark.parametrize("family", VISION)
@pytest.mark.parametrize("images", [[RED], [RED, TALL]], ids=["one", "two"])
def test_greedy_with_images_is_what_generate_says(
    family: str, images: list[Any], chat_engine: Callable[[str], Any], models: Any
) -> None:
    answer = ask(chat_engine(family), with_images("Compare.", *images), max_tokens=24)
    assert text(answer) == reference(models(family), "Compare.", images, 24)


@pytest.mark.parametrize("family", FAMILIES)
def test_batched_answers_equal_single_ones(family: str, chat_engine: Callable[[str], Any]) -> None:
    """Prompts and answers of different lengths: rows leave the batch one after another."""
    engine = chat_engine(family)
    words = ["Hi", "What is a rather long question, in so many words?", "Say more", "And you?"]
    requests = [request(word, max_tokens=tokens) for word, tokens in zip(words, [3, 30, 12, 1], strict=True)]
    together = [text(whole(pieces)) for pieces in run(engine, *requests)]
    assert together == [text(whole(run(engine, item)[0])) for item in requests]


@pytest.mark.parametrize("family", VISION)
def test_a_batch_with_images_answers_as_each_alone(family: str, chat_engine: Callable[[str], Any]) -> None:
    engine = chat_engine(family)
    contents = [with_images("Hm?", RED), with_images("What is in these?", BLUE, TALL), with_images("?", TALL)]
    requests = [request(content, max_tokens=tokens) for content, tokens in zip(contents, [16, 5, 24], strict=True)]
    together = [text(whole(pieces)) for pieces in run(engine, *requests)]
    assert together == [text(whole(run(engine, item)[0])) for item in requests]


@pytest.mark.parametrize("family", [family for family in VISION if family != "gemma3"])  # its answers are too short
def test_answer_depends_on_image_and_text(family: str, chat_engine: Callable[[str], Any]) -> None:
    engine = chat_engine(family)
    contents = [with_images("What?", RED), with_images("What?", BLUE), with_images("Where?", RED)]
    answers = {text(ask(engine, content, max_tokens=24)) for content in contents}
    assert len(answers) == 3


@pytest.mark.parametrize("family", VISION)
def test_earlier_turns_and_images_count(family: str, chat_engine: Callable[[str], Any]) -> None:
    def turns(image: Any) -> list[dict[str, Any]]:
        return [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": with_images("Look.", image)},
            {"role": "assistant", "content": "I see."},
            {"role": "user", "content": with_images("And this?", TALL)},
        ]

    red, blue = (text(ask(chat_engine(family), "", messages=turns(image), max_tokens=24)) for image in (RED, BLUE))
    assert red != blue


def test_short_answers_end_before_long_ones(chat_engine: Callable[[str], Any]) -> None:
    from workers.engine import Call

    long, short = Call(request("Hello", max_tokens=30)), Call(request("Hello", max_tokens=2))
    closed = [call for call, piece in chat_engine("lm").chat(feed_of([long, short])) if piece is None]
    assert closed == [short, long]


def test_features_depend_on_the_weights(chat_engine: Callable[[str], Any]) -> None:
    assert "images" not in chat_engine("lm").loaded_features()
    assert "images" in chat_engine("smolvlm").loaded_features()


def test_demo_model_answers_in_words(tmp_path: Path) -> None:
    from scripts.demo_models.__main__ import build
    from scripts.demo_models.chat import WORDS

    folder = build(tmp_path, "chat")
    assert "random numbers" in (folder / "README.md").read_text()
    engine = load(folder)
    answer = text(ask(engine, with_images("What do you see?", RED), seed=1, max_tokens=20))
    words = re.findall(r"\w+", answer)
    assert len(words) > 3
    assert set(words) <= set(WORDS)


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl", "paddleocr_vl", "gemma3"])  # the others: chat_requests.py
def test_control_tokens_of_further_families_are_plain_text(family: str, chat_engine: Callable[[str], Any]) -> None:
    check_control_tokens_are_text(chat_engine(family))
