"""OCR by generation: each family writes the library's own tokens, as sure of each, alone and together."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract.config import ModelSpec
from contract.errors import BadImage, LoadFailed, ServeError
from contract.tasks.ocr import OcrItem, OcrRequest
from tests.conftest import Models
from tests.support.odd_images import ODD_IMAGES, OddImage, drawing, uri
from workers.engine import Call, Device
from workers.engines.transformers_ocr import TransformersOcr
from workers.registry import find_engine

FAMILIES = ("trocr", "got_ocr2", "florence2", "paddleocr_vl")
TOKENS = {"florence2": 120}
"""How many tokens the tiny models write, if not 10: they hardly ever come to an end."""
UPRIGHT = drawing()
TURNED = UPRIGHT.transpose(Image.Transpose.ROTATE_180)
WIDE = UPRIGHT.resize((120, 50))

Load = Callable[..., TransformersOcr]


@pytest.fixture(scope="module")
def load(models: Models) -> Load:
    """The engine with a family's tiny model in it, loaded once."""

    @cache
    def loaded(family: str, **options: Any) -> TransformersOcr:
        return made(models(family), threads=1, **{"max_tokens": TOKENS.get(family, 10), **options})

    return loaded


def made(folder: Path, **options: Any) -> TransformersOcr:
    engine = find_engine("transformers_ocr")()
    assert isinstance(engine, TransformersOcr)
    engine.load(
        ModelSpec(id=folder.name, engine="transformers_ocr", source=str(folder), options=options),
        Device("cpu", "float32"),
    )
    return engine


def ask(*images: Image.Image, **fields: Any) -> Call[OcrRequest]:
    uris = [uri(image) for image in images]
    return Call(OcrRequest.model_validate({"images": uris, **fields}))


def read(engine: TransformersOcr, *calls: Call[OcrRequest]) -> list[list[OcrItem]]:
    """The items of each call."""
    answers = dict(engine.read(list(calls)))
    for answer in answers.values():
        if isinstance(answer, ServeError):
            raise answer
    return [answers[call].data for call in calls]  # type: ignore[union-attr]


def content(item: OcrItem) -> Any:
    """What was read and where; scores to the fifth place."""
    return item.text, [(line.text, pytest.approx(line.score, abs=1e-5), line.polygon) for line in item.lines]


# Equal to the library ---------------------------------------------------------------------------------------------


class Library:
    """A tiny model, asked as its model card says."""

    def __init__(self, family: str, folder: Path) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.family = family
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder).eval()

    def inputs(self, image: Image.Image) -> Any:
        if self.family == "florence2":
            return self.processor(text="<OCR_WITH_REGION>", images=image, return_tensors="pt")
        if self.family != "paddleocr_vl":
            return self.processor(image, return_tensors="pt")
        question = {"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": "OCR:"}]}
        return self.processor.apply_chat_template(
            [question], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )

    def read(self, image: Image.Image) -> tuple[list[int], list[float]]:
        """The tokens that it writes, and how probable each is that is text."""
        inputs = self.inputs(image)
        length = TOKENS.get(self.family, 10)
        written = self.model.generate(
            **inputs, max_new_tokens=length, do_sample=False, output_scores=True, return_dict_in_generate=True
        )
        sure = self.model.compute_transition_scores(written.sequences, written.scores, normalize_logits=True)
        tokens = written.sequences[0, -length:].tolist()
        special = self.processor.tokenizer.all_special_ids
        return tokens, [one for token, one in zip(tokens, sure[0].exp().tolist(), strict=True) if token not in special]


@pytest.mark.parametrize("family", FAMILIES)
def test_text_matches_transformers_alone_and_batched(family: str, load: Load, models: Models) -> None:
    engine, library = load(family), Library(family, models(family))

    [[alone]] = read(engine, ask(UPRIGHT))
    [[one], [other, again]] = read(engine, ask(UPRIGHT), ask(TURNED, UPRIGHT))

    assert content(alone) == content(one) == content(again)
    assert one.text != other.text  # it follows from the picture
    for item, image in ((one, UPRIGHT), (other, TURNED)):
        tokens, sure = library.read(image)
        if family == "florence2":
            check_places(item, library.processor, tokens)
            continue
        [line] = item.lines
        assert item.text == line.text == library.processor.decode(tokens, skip_special_tokens=True).strip()
        assert line.score == pytest.approx(sum(sure) / len(sure), abs=1e-5)
        assert item.truncated


def check_places(item: OcrItem, processor: Any, tokens: list[int]) -> None:
    """Florence-2's lines are those that its processor parses, which cuts coordinates to whole pixels."""
    text = processor.batch_decode([tokens], skip_special_tokens=False)[0]
    task = "<OCR_WITH_REGION>"
    parsed = processor.post_process_generation(text, task=task, image_size=(item.width, item.height))[task]
    # To the processor, places that belong to no line are part of the text, and bytes on either side no character.
    texts = [re.sub("\ufffd+", "\ufffd", re.sub(r"<loc_\d+>", "", label)).strip() for label in parsed["labels"]]
    expected = [(text, quad) for text, quad in zip(texts, parsed["quad_boxes"], strict=True) if text]
    got = [(line.text, [int(at) for corner in line.polygon for at in corner]) for line in item.lines]
    assert sorted(got) == sorted(expected)
    assert len(got) > 2


def test_images_of_other_sizes_in_the_call_change_nothing(load: Load) -> None:
    engine = load("paddleocr_vl")
    alone = [read(engine, ask(image))[0][0] for image in (UPRIGHT, WIDE)]
    [together] = read(engine, ask(UPRIGHT, WIDE))
    assert [content(item) for item in together] == [content(item) for item in alone]
    assert [(item.width, item.height) for item in together] == [(80, 60), (120, 50)]


def test_more_images_than_batch_size(load: Load) -> None:
    images = [UPRIGHT, TURNED, WIDE, UPRIGHT, WIDE]
    call = ask(*images)
    [few], [together] = read(load("trocr", batch_size=2), call), read(load("trocr"), ask(*images))
    assert [content(item) for item in few] == [content(item) for item in together]
    assert (call.done, call.total) == (5, 5)


# Lines ------------------------------------------------------------------------------------------------------------


def written(engine: TransformersOcr, text: str, sure: Callable[[int], float]) -> Any:
    """A text as if the model had written it; `sure` says how probable the token at each place was."""
    from workers.engines.transformers_ocr.model import GenerationTrace

    tokens = engine._model.tokenizer(text, add_special_tokens=False)["input_ids"]
    return GenerationTrace(tokens, [sure(place) for place in range(len(tokens))], complete=True)


def test_page_text_is_split_into_lines(load: Load) -> None:
    engine = load("got_ocr2")
    text, lines = engine._model.lines(written(engine, "One\n\n two\nthree", lambda at: 0.9 if at < 4 else 0.4), 80, 60)
    assert text == "One\n\n two\nthree"
    assert [line.text for line in lines] == ["One", "two", "three"]
    assert [line.score for line in lines] == pytest.approx([0.9, 0.4, 0.4])
    assert [line.polygon for line in lines] == [[], [], []]


def test_florence2_lines_are_in_reading_order_and_clipped(load: Load) -> None:
    engine = load("florence2")
    low, high = (0, 500, 400, 500, 400, 600, 0, 600), (0, 0, 999, 0, 999, 100, 0, 100)
    parts = (("</s><s>below", low), ("above", high), ("of no place", (1, 2, 3)))
    text = "".join(words + "".join(f"<loc_{at}>" for at in places) for words, places in parts)
    said, lines = engine._model.lines(written(engine, text, lambda at: 0.25 if at < 2 else 0.5), 1000, 500)
    assert said == "above\nbelow"
    assert [line.polygon for line in lines] == [
        [(0.5, 0.25), (999.5, 0.25), (999.5, 50.25), (0.5, 50.25)],
        [(0.5, 250.25), (400.5, 250.25), (400.5, 300.25), (0.5, 300.25)],
    ]
    assert [line.score for line in lines] == [0.5, 0.5]  # what is no text does not count


def test_trocr_line_spans_the_whole_image(load: Load) -> None:
    engine = load("trocr")
    text, [line] = engine._model.lines(written(engine, "Hello", lambda at: 0.5), 80, 60)
    assert (text, line.text, line.score) == ("Hello", "Hello", 0.5)
    assert line.polygon == [(0, 0), (80, 0), (80, 60), (0, 60)]
    assert engine._model.lines(written(engine, "</s>", lambda at: 0.5), 80, 60) == ("", [])


def test_text_with_an_end_token_is_not_truncated(models: Models, load: Load) -> None:
    [[cut]] = read(load("trocr"), ask(UPRIGHT))
    engine = made(models("trocr"), threads=1, max_tokens=10)
    tokens = engine._model.tokenizer(cut.text, add_special_tokens=False)["input_ids"]
    engine._model.model.generation_config.eos_token_id = [tokens[4]]
    [[whole]] = read(engine, ask(UPRIGHT))
    assert cut.truncated
    assert not whole.truncated
    assert cut.text.startswith(whole.text)
    assert 0 < len(whole.text) < len(cut.text)


def test_text_length_is_limited_by_the_decoder(models: Models) -> None:
    [[item]] = read(made(models("trocr"), threads=1), ask(UPRIGHT))
    assert item.truncated
    assert 30 < len(item.text) <= 63


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_reads_unusual_images_as_displayed(load: Load, odd: OddImage) -> None:
    [[item, plain]] = read(load("trocr"), ask(images=[odd.uri, odd.plain_uri]))
    assert (item.width, item.height) == odd.size
    assert content(item) == content(plain)


# Who leaves, and what cannot be read ------------------------------------------------------------------------------


def test_cancelling_stops_only_its_own_text(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load("trocr", max_tokens=50)
    [[alone]] = read(engine, ask(UPRIGHT))
    gone, here, steps = ask(TURNED), ask(UPRIGHT), []

    def leave(*_: Any, **__: Any) -> None:
        steps.append(len(steps))
        if len(steps) == 5:
            gone.cancel()

    hook = engine._model.model.decoder.register_forward_pre_hook(leave)
    [(answered, answer)] = engine.read([gone, here])
    assert answered is here
    assert content(answer.data[0]) == content(alone)  # type: ignore[union-attr]
    here.cancel()
    assert len(steps) == 50

    steps.clear()
    gone = ask(TURNED)
    assert list(engine.read([gone])) == []
    assert len(steps) == 5
    hook.remove()


def test_broken_image_fails_alone(load: Load) -> None:
    bad, good = Call(OcrRequest(image="data:image/png;base64,abcd")), ask(UPRIGHT)
    answers = dict(load("trocr").read([bad, good]))
    assert isinstance(answers[bad], BadImage)
    assert not isinstance(answers[good], ServeError)


def test_no_family_accepts_languages(load: Load) -> None:
    assert ask(UPRIGHT, languages=["en"]).request.required_features() - load("trocr").loaded_features() == {"languages"}


def test_rejects_donut_and_suggests_another_model(models: Models, tmp_path: Path) -> None:
    shutil.copytree(models("trocr"), tmp_path, dirs_exist_ok=True)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    config["encoder"]["model_type"] = "donut-swin"
    file.write_text(json.dumps(config))
    with pytest.raises(LoadFailed, match=r"microsoft/trocr-base-printed"):
        made(tmp_path)


def test_rejects_other_models_and_names_their_engine(models: Models) -> None:
    with pytest.raises(LoadFailed, match=r"engine: transformers_detect"):
        made(models("yolos"))
