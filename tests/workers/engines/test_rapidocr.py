"""OCR with the real models: reading order, images without text, narrow strips, unsupported languages."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from contract.config import ModelSpec
from contract.errors import BadImage, UnsupportedFeature
from contract.media import data_uri
from contract.tasks.ocr import OcrRequest, OcrResponse
from tests.support.odd_images import uri
from workers.engine import Call, Device
from workers.engines.rapidocr import RapidOcr
from workers.registry import find_engine


@pytest.fixture(scope="module")
def engine() -> RapidOcr:
    engine = find_engine("rapidocr")()
    assert isinstance(engine, RapidOcr)
    engine.load(ModelSpec(id="ocr", engine="rapidocr", options={"threads": 1}), Device("cpu", "float32"))
    return engine


def image_uri(*texts: tuple[int, int, str], size: tuple[int, int] = (360, 160), **options: Any) -> str:
    """An image with texts at (x, y), as a client would send it."""
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
    image = image_uri((200, 24, "Right 7"), (20, 100, "Second row"), (20, 20, "Left"))
    answer = read(engine, image=image)
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


@pytest.mark.parametrize("turned", [False, True])
def test_lines_of_digits_are_read_upright_and_upside_down(engine: RapidOcr, turned: bool) -> None:
    lines = ("1 16 16 16 15", "11 16 91", "24 75 310")
    content = _bytes(image_uri(*((20, 20 + 45 * row, line) for row, line in enumerate(lines))))
    with Image.open(io.BytesIO(content)) as image:
        sent = image.rotate(180) if turned else image.copy()
    [item] = read(engine, image=uri(sent)).data
    assert sorted(line.text for line in item.lines) == sorted(lines)


def test_applies_exif_rotation_before_reading(engine: RapidOcr) -> None:
    upright = Image.open(io.BytesIO(_bytes(image_uri((20, 20, "Upright"), size=(160, 80)))))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise for display
    buffer = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", exif=exif, quality=95)
    [item] = read(engine, image=data_uri(buffer.getvalue(), "image/jpeg")).data
    assert (item.width, item.height, item.text) == (160, 80, "Upright")


def _bytes(uri: str) -> bytes:
    from contract.media import ImageInput

    return ImageInput(uri).read()


def test_reads_several_images_one_without_text(engine: RapidOcr, caplog: pytest.LogCaptureFixture) -> None:
    answer = read(engine, images=[image_uri(size=(64, 64)), image_uri((15, 15, "Text"), size=(120, 60))])
    assert [(item.index, item.text) for item in answer.data] == [(0, ""), (1, "Text")]
    assert answer.data[0].lines == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("size", [(1, 1), (2000, 10)])
def test_reads_images_of_extreme_shapes(engine: RapidOcr, size: tuple[int, int]) -> None:
    [item] = read(engine, image=image_uri(size=size)).data
    assert ((item.width, item.height), item.text) == (size, "")


@pytest.mark.parametrize(("size", "lines"), [((6000, 300), [(60, 40)]), ((4000, 600), [(2500, 200)])])
def test_reads_long_strips_without_unfolding_them(
    engine: RapidOcr, size: tuple[int, int], lines: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[Image.Image] = []
    ocr = engine._ocr
    monkeypatch.setattr(engine, "_ocr", lambda image: prepared.append(image) or ocr(image))
    image = Image.new("RGB", size, "white")
    font = ImageFont.load_default(200)
    for place in lines:
        ImageDraw.Draw(image).text(place, "Strip", fill="black", font=font)
    [item] = read(engine, image=uri(image)).data
    assert (item.width, item.height) == size
    assert all(max(image.size) <= 2000 for image in prepared)
    for line, (x, y) in zip(item.lines, lines, strict=True):
        assert line.text == "Strip"
        assert abs(line.polygon[0][0] - x) < 60
        assert abs(line.polygon[0][1] - y) < 60


@pytest.mark.parametrize("size", [(3000, 15), (150, 30_000)])
def test_refuses_strips_that_are_too_narrow_to_read(engine: RapidOcr, size: tuple[int, int]) -> None:
    error = read(engine, image=image_uri(size=size))
    assert isinstance(error, BadImage)
    assert f"{size[0]}x{size[1]}" in error.message
    assert f"at most {max(2000, min(size) * 125)} pixels" in error.message


def test_accepts_known_languages_and_rejects_others_by_name(engine: RapidOcr) -> None:
    image = image_uri((15, 15, "Text"), size=(120, 60))
    assert read(engine, image=image, languages=["en", "zh-TW"]).data[0].text == "Text"
    error = read(engine, image=image, languages=["en", "ko"])
    assert isinstance(error, UnsupportedFeature)
    assert error.param == "languages"
    assert "'ko'" in error.message
    assert " zh" in error.message


def test_cancelling_stops_between_images(engine: RapidOcr, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(OcrRequest(images=[image_uri(size=(32, 32))] * 3))  # type: ignore[list-item]
    progress: list[int] = []

    def cancel(done: int, _: int) -> None:
        progress.append(done)
        call.cancel()

    monkeypatch.setattr(call, "progress", cancel)
    assert list(engine.read([call])) == []
    assert progress == [1]
