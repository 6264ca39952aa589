"""Real OCR: rows in reading order, pictures without text, strips, and a refusal of languages it cannot read."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from contract.config import ModelSpec
from contract.errors import UnsupportedFeature
from contract.media import data_uri
from contract.tasks.ocr import OcrRequest, OcrResponse
from workers.engine import Call, Device
from workers.engines.rapidocr import RapidOcr
from workers.registry import find_engine


@pytest.fixture(scope="module")
def engine() -> RapidOcr:
    made = find_engine("rapidocr")()
    assert isinstance(made, RapidOcr)
    made.load(ModelSpec(id="ocr", engine="rapidocr", options={"threads": 1}), Device("cpu", "float32"))
    return made


def picture(*texts: tuple[int, int, str], size: tuple[int, int] = (360, 160), **options: Any) -> str:
    """Texts at their places, as a client would send the picture."""
    image = Image.new("RGB", size, "white")
    for x, y, text in texts:
        ImageDraw.Draw(image).text((x, y), text, fill="black", font=ImageFont.load_default(26))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG" if options else "PNG", **options)
    return data_uri(buffer.getvalue(), "image/jpeg" if options else "image/png")


def read(engine: RapidOcr, **fields: Any) -> Any:
    [(_, answer)] = engine.read([Call(OcrRequest.model_validate(fields))])
    return answer


def test_lines_are_in_reading_order_with_positions_and_scores(engine: RapidOcr) -> None:
    sent = picture((200, 24, "Right 7"), (20, 100, "Second row"), (20, 20, "Left"))
    answer = read(engine, image=sent)
    assert isinstance(answer, OcrResponse)
    [item] = answer.data
    assert (item.width, item.height) == (360, 160)
    assert item.text == "Left Right 7\nSecond row"
    assert [line.text for line in item.lines] == ["Left", "Right 7", "Second row"]
    for line, (x, y) in zip(item.lines, [(20, 20), (200, 24), (20, 100)], strict=True):
        assert 0.8 < line.score <= 1
        left, top = line.polygon[0]
        assert abs(left - x) < 12
        assert abs(top - y) < 14
        assert all(0 <= px <= 360 and 0 <= py <= 160 for px, py in line.polygon)
    assert answer.usage.images == 1


def test_applies_exif_rotation_before_reading(engine: RapidOcr) -> None:
    upright = Image.open(io.BytesIO(_bytes(picture((20, 20, "Upright"), size=(160, 80)))))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    buffer = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", exif=exif, quality=95)
    [item] = read(engine, image=data_uri(buffer.getvalue(), "image/jpeg")).data
    assert (item.width, item.height, item.text) == (160, 80, "Upright")


def _bytes(uri: str) -> bytes:
    from contract.media import ImageInput

    return ImageInput(uri).read()


def test_reads_several_images_one_without_text(engine: RapidOcr, caplog: pytest.LogCaptureFixture) -> None:
    answer = read(engine, images=[picture(size=(64, 64)), picture((15, 15, "Text"), size=(120, 60))])
    assert [(item.index, item.text) for item in answer.data] == [(0, ""), (1, "Text")]
    assert answer.data[0].lines == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("size", [(1, 1), (2000, 10)])
def test_reads_images_of_extreme_shapes(engine: RapidOcr, size: tuple[int, int]) -> None:
    [item] = read(engine, image=picture(size=size)).data
    assert ((item.width, item.height), item.text) == (size, "")


def test_accepts_known_languages_and_rejects_others_by_name(engine: RapidOcr) -> None:
    sent = picture((15, 15, "Text"), size=(120, 60))
    assert read(engine, image=sent, languages=["en", "zh-TW"]).data[0].text == "Text"
    refusal = read(engine, image=sent, languages=["en", "ko"])
    assert isinstance(refusal, UnsupportedFeature)
    assert refusal.param == "languages"
    assert "'ko'" in refusal.message
    assert " zh" in refusal.message


def test_cancelling_stops_between_images(engine: RapidOcr, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(OcrRequest(images=[picture(size=(32, 32))] * 3))  # type: ignore[list-item]
    reached: list[int] = []

    def leave(done: int, _: int) -> None:
        reached.append(done)
        call.cancel()

    monkeypatch.setattr(call, "progress", leave)
    assert list(engine.read([call])) == []
    assert reached == [1]
