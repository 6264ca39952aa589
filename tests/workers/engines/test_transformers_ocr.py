"""OCR by generation: each family's tokens and probabilities match those of transformers, alone and batched."""

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
"""How many tokens a tiny model writes, if not 10: they hardly ever reach an end token."""
UPRIGHT = drawing()
ROTATED = UPRIGHT.transpose(Image.Transpose.ROTATE_180)
WIDE = UPRIGHT.resize((120, 50))

LoadEngine = Callable[..., TransformersOcr]


@pytest.fixture(scope="module")
def load(models: Models) -> LoadEngine:
    """Loads the engine with a family's tiny model, once per set of options."""

    @cache
    def loaded(family: str, **options: Any) -> TransformersOcr:
        return load_model(models(family), threads=1, **{"max_tokens": TOKENS.get(family, 10), **options})

    return loaded


def load_model(folder: Path, **options: Any) -> TransformersOcr:
    engine = find_engine("transformers_ocr")()
    assert isinstance(engine, TransformersOcr)
    engine.load(
        ModelSpec(id=folder.name, engine="transformers_ocr", source=str(folder), options=options),
        Device("cpu", "float32"),
    )
    return engine


def request(*images: Image.Image, **fields: Any) -> Call[OcrRequest]:
    uris = [uri(image) for image in images]
    return Call(OcrRequest.model_validate({"images": uris, **fields}))


def read(engine: TransformersOcr, *calls: Call[OcrRequest]) -> list[list[OcrItem]]:
    """The items of each call, all answered together. Raises the first error."""
    answers = dict(engine.read(list(calls)))
    for answer in answers.values():
        if isinstance(answer, ServeError):
            raise answer
    return [answers[call].data for call in calls]  # type: ignore[union-attr]


def content(item: OcrItem) -> Any:
    """Text and lines of an item, to compare scores within 1e-5."""
    return item.text, [(line.text, pytest.approx(line.score, abs=1e-5), line.polygon) for line in item.lines]


# Compared with transformers --------------------------------------------------------------------------------------


class ReferenceModel:
    """A tiny model, used as its model card says."""

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
        message = {"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": "OCR:"}]}
        return self.processor.apply_chat_template(
            [message], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )

    def read(self, image: Image.Image) -> tuple[list[int], list[float]]:
        """The tokens that it generates, and the probability of each that is not special."""
        inputs = self.inputs(image)
        length = TOKENS.get(self.family, 10)
        generated = self.model.generate(
            **inputs, max_new_tokens=length, do_sample=False, output_scores=True, return_dict_in_generate=True
        )
        log_probabilities = self.model.compute_transition_scores(
            generated.sequences, generated.scores, normalize_logits=True
        )
        tokens = generated.sequences[0, -length:].tolist()
        special = self.processor.tokenizer.all_special_ids
        probabilities = log_probabilities[0].exp().tolist()
        return tokens, [p for token, p in zip(tokens, probabilities, strict=True) if token not in special]


@pytest.mark.parametrize("family", FAMILIES)
def test_text_matches_transformers_alone_and_batched(family: str, load: LoadEngine, models: Models) -> None:
    engine, reference = load(family), ReferenceModel(family, models(family))

    [[alone]] = read(engine, request(UPRIGHT))
    [[batched], [rotated, repeated]] = read(engine, request(UPRIGHT), request(ROTATED, UPRIGHT))

    assert content(alone) == content(batched) == content(repeated)
    assert batched.text != rotated.text  # text depends on the image
    for item, image in ((batched, UPRIGHT), (rotated, ROTATED)):
        tokens, probabilities = reference.read(image)
        if family == "florence2":
            check_positions(item, reference.processor, tokens)
            continue
        [line] = item.lines
        assert item.text == line.text == reference.processor.decode(tokens, skip_special_tokens=True).strip()
        assert line.score == pytest.approx(sum(probabilities) / len(probabilities), abs=1e-5)
        assert item.truncated


def check_positions(item: OcrItem, processor: Any, tokens: list[int]) -> None:
    """Check Florence-2's lines against those that its processor parses, which truncates coordinates to whole pixels."""
    text = processor.batch_decode([tokens], skip_special_tokens=False)[0]
    task = "<OCR_WITH_REGION>"
    parsed = processor.post_process_generation(text, task=task, image_size=(item.width, item.height))[task]
    # The processor keeps location tokens that belong to no line in the text, and decodes the bytes around them apart.
    texts = [re.sub("\ufffd+", "\ufffd", re.sub(r"<loc_\d+>", "", label)).strip() for label in parsed["labels"]]
    expected = [(text, quad) for text, quad in zip(texts, parsed["quad_boxes"], strict=True) if text]
    lines = [(line.text, [int(value) for corner in line.polygon for value in corner]) for line in item.lines]
    assert sorted(lines) == sorted(expected)
    assert len(lines) > 2


def test_images_of_other_sizes_in_the_call_change_nothing(load: LoadEngine) -> None:
    engine = load("paddleocr_vl")
    alone = [read(engine, request(image))[0][0] for image in (UPRIGHT, WIDE)]
    [together] = read(engine, request(UPRIGHT, WIDE))
    assert [content(item) for item in together] == [content(item) for item in alone]
    assert [(item.width, item.height) for item in together] == [(80, 60), (120, 50)]


def test_more_images_than_batch_size(load: LoadEngine) -> None:
    images = [UPRIGHT, ROTATED, WIDE, UPRIGHT, WIDE]
    call = request(*images)
    [in_pairs], [together] = read(load("trocr", batch_size=2), call), read(load("trocr"), request(*images))
    assert [content(item) for item in in_pairs] == [content(item) for item in together]
    assert (call.done, call.total) == (5, 5)


# Lines ------------------------------------------------------------------------------------------------------------


def trace(engine: TransformersOcr, text: str, probability: Callable[[int], float]) -> Any:
    """A text as if the model had generated it; `probability` gives that of the token at each index."""
    from workers.engines.transformers_ocr.model import GenerationTrace

    tokens = engine._model.tokenizer(text, add_special_tokens=False)["input_ids"]
    return GenerationTrace(tokens, [probability(index) for index in range(len(tokens))], complete=True)


def test_page_text_is_split_into_lines(load: LoadEngine) -> None:
    engine = load("got_ocr2")
    text, lines = engine._model.lines(
        trace(engine, "One\n\n two\nthree", lambda index: 0.9 if index < 4 else 0.4), 80, 60
    )
    assert text == "One\n\n two\nthree"
    assert [line.text for line in lines] == ["One", "two", "three"]
    assert [line.score for line in lines] == pytest.approx([0.9, 0.4, 0.4])
    assert [line.polygon for line in lines] == [[], [], []]


def test_florence2_lines_are_in_reading_order_and_clipped(load: LoadEngine) -> None:
    engine = load("florence2")
    lower, upper = (0, 500, 400, 500, 400, 600, 0, 600), (0, 0, 999, 0, 999, 100, 0, 100)
    parts = (("</s><s>below", lower), ("above", upper), ("without quadrilateral", (1, 2, 3)))
    text = "".join(words + "".join(f"<loc_{bin_}>" for bin_ in bins) for words, bins in parts)
    read_text, lines = engine._model.lines(trace(engine, text, lambda index: 0.25 if index < 2 else 0.5), 1000, 500)
    assert read_text == "above\nbelow"
    assert [line.polygon for line in lines] == [
        [(0.5, 0.25), (999.5, 0.25), (999.5, 50.25), (0.5, 50.25)],
        [(0.5, 250.25), (400.5, 250.25), (400.5, 300.25), (0.5, 300.25)],
    ]
    assert [line.score for line in lines] == [0.5, 0.5]  # special tokens do not count


def test_trocr_line_spans_the_whole_image(load: LoadEngine) -> None:
    engine = load("trocr")
    text, [line] = engine._model.lines(trace(engine, "Hello", lambda _: 0.5), 80, 60)
    assert (text, line.text, line.score) == ("Hello", "Hello", 0.5)
    assert line.polygon == [(0, 0), (80, 0), (80, 60), (0, 60)]
    assert engine._model.lines(trace(engine, "</s>", lambda _: 0.5), 80, 60) == ("", [])


def test_text_with_an_end_token_is_not_truncated(models: Models, load: LoadEngine) -> None:
    [[truncated]] = read(load("trocr"), request(UPRIGHT))
    engine = load_model(models("trocr"), threads=1, max_tokens=10)
    tokens = engine._model.tokenizer(truncated.text, add_special_tokens=False)["input_ids"]
    engine._model.model.generation_config.eos_token_id = [tokens[4]]
    [[complete]] = read(engine, request(UPRIGHT))
    assert truncated.truncated
    assert not complete.truncated
    assert truncated.text.startswith(complete.text)
    assert 0 < len(complete.text) < len(truncated.text)


def test_text_length_is_limited_by_the_decoder(models: Models) -> None:
    [[item]] = read(load_model(models("trocr"), threads=1), request(UPRIGHT))
    assert item.truncated
    assert 30 < len(item.text) <= 63


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_reads_unusual_images_as_displayed(load: LoadEngine, odd: OddImage) -> None:
    [[item, plain]] = read(load("trocr"), request(images=[odd.uri, odd.plain_uri]))
    assert (item.width, item.height) == odd.size
    assert content(item) == content(plain)


# Cancelling and refusals ------------------------------------------------------------------------------------------


def test_cancelling_stops_only_its_own_text(load: LoadEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load("trocr", max_tokens=50)
    [[alone]] = read(engine, request(UPRIGHT))
    cancelled, waiting, steps = request(ROTATED), request(UPRIGHT), []

    def cancel(*_: Any, **__: Any) -> None:
        steps.append(len(steps))
        if len(steps) == 5:
            cancelled.cancel()

    hook = engine._model.model.decoder.register_forward_pre_hook(cancel)
    [(answered, answer)] = engine.read([cancelled, waiting])
    assert answered is waiting
    assert content(answer.data[0]) == content(alone)  # type: ignore[union-attr]
    waiting.cancel()
    assert len(steps) == 50

    steps.clear()
    cancelled = request(ROTATED)
    assert list(engine.read([cancelled])) == []
    assert len(steps) == 5
    hook.remove()


def test_broken_image_fails_alone(load: LoadEngine) -> None:
    broken, valid = Call(OcrRequest(image="data:image/png;base64,abcd")), request(UPRIGHT)
    answers = dict(load("trocr").read([broken, valid]))
    assert isinstance(answers[broken], BadImage)
    assert not isinstance(answers[valid], ServeError)


def test_no_family_accepts_languages(load: LoadEngine) -> None:
    assert request(UPRIGHT, languages=["en"]).request.required_features() - load("trocr").loaded_features() == {
        "languages"
    }


def test_rejects_donut_and_suggests_another_model(models: Models, tmp_path: Path) -> None:
    shutil.copytree(models("trocr"), tmp_path, dirs_exist_ok=True)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    config["encoder"]["model_type"] = "donut-swin"
    file.write_text(json.dumps(config))
    with pytest.raises(LoadFailed, match=r"microsoft/trocr-base-printed"):
        load_model(tmp_path)


def test_rejects_other_models_and_names_their_engine(models: Models) -> None:
    with pytest.raises(LoadFailed, match=r"engine: transformers_detect"):
        load_model(models("yolos"))
