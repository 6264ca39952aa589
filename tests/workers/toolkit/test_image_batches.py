"""Images of several calls: which share a batch, that calls fail alone, and how many pixels wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from contract.errors import BadImage, InvalidField, ServeError
from contract.media import ImageInput
from contract.tasks.caption import CaptionItem, CaptionRequest, CaptionResponse
from tests.support.odd_images import encoded
from workers.engine import Call
from workers.toolkit import image_batches
from workers.toolkit.image_batches import BatchImage, ImageBatcher, pixels_in_batch


class Captioner:
    """Records its batches, and captions each image with its size."""

    def __init__(self, *, fails: Sequence[tuple[int, int]] = ()) -> None:
        self.batches: list[list[tuple[int, int]]] = []
        self._fails = fails

    def work(self, batch: list[BatchImage[CaptionRequest]]) -> list[CaptionItem | ServeError]:
        sizes = [(image.width, image.height) for image in batch]
        self.batches.append(sizes)
        return [self._item(image) for image in batch]

    def _item(self, image: BatchImage[CaptionRequest]) -> CaptionItem | ServeError:
        if (image.width, image.height) in self._fails:
            return InvalidField("this size fails", param="image")
        return CaptionItem(**image.item_fields, text=f"{image.width}x{image.height}")

    def answer(self, *calls: Call[CaptionRequest], batch_size: int = 8, **options: Any) -> list[tuple[Any, Any]]:
        batcher = ImageBatcher("model", batch_size)
        return list(batcher.answer(calls, self.work, CaptionResponse, **options))


def call(*sizes: tuple[int, int]) -> Call[CaptionRequest]:
    images = [encoded(Image.new("RGB", size)) for size in sizes]
    return Call(CaptionRequest.model_validate({"images": images}))


def texts(answer: CaptionResponse) -> list[str]:
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return [item.text for item in answer.data]


def test_images_of_one_size_share_a_batch_across_calls() -> None:
    captioner = Captioner()
    first, second = call((4, 3), (2, 2)), call((2, 2), (4, 3), (4, 3))
    answers = dict(captioner.answer(first, second))
    assert texts(answers[first]) == ["4x3", "2x2"]
    assert texts(answers[second]) == ["2x2", "4x3", "4x3"]
    assert sorted(captioner.batches) == [[(2, 2)] * 2, [(4, 3)] * 3]
    assert answers[first].usage.images == 2
    assert (second.done, second.total) == (3, 3)


def test_full_batch_runs_at_once_and_complete_calls_end() -> None:
    captioner = Captioner()
    first, second = call((2, 2), (2, 2)), call((2, 2), (3, 3))
    order = [owner for owner, _ in captioner.answer(first, second, batch_size=2)]
    assert order == [first, second]
    assert captioner.batches[0] == [(2, 2)] * 2


@pytest.mark.parametrize("bad", [b"nothing", b""], ids=["broken", "empty"])
def test_unreadable_image_fails_only_its_call(bad: bytes) -> None:
    broken = Call(
        CaptionRequest.model_construct(images=[ImageInput(bad), *call((2, 2)).request.all_images], image=None)
    )
    fine = call((2, 2))
    captioner = Captioner()
    answers = dict(captioner.answer(broken, fine))
    assert isinstance(answers[broken], BadImage)
    assert texts(answers[fine]) == ["2x2"]
    assert captioner.batches == [[(2, 2)]]


def test_error_for_one_image_fails_only_its_call() -> None:
    captioner = Captioner(fails=[(3, 3)])
    refused, fine = call((2, 2), (3, 3)), call((2, 2))
    answers = dict(captioner.answer(refused, fine))
    assert isinstance(answers[refused], InvalidField)
    assert texts(answers[fine]) == ["2x2"]


def test_refused_image_never_reaches_the_model() -> None:
    def refuse_wide(image: BatchImage[CaptionRequest]) -> None:
        if image.width > 3:
            raise InvalidField("too wide", param="image")

    captioner = Captioner()
    refused, fine = call((9, 2), (2, 2)), call((2, 2))
    answers = dict(captioner.answer(refused, fine, check=refuse_wide))
    assert isinstance(answers[refused], InvalidField)
    assert captioner.batches == [[(2, 2)]]
    assert texts(answers[fine]) == ["2x2"]


def test_cancelled_call_costs_no_work() -> None:
    captioner = Captioner()
    gone, here = call((2, 2)), call((2, 2))
    gone.cancel()
    answers = captioner.answer(gone, here)
    assert [owner for owner, _ in answers] == [here]
    assert captioner.batches == [[(2, 2)]]


def test_limits_the_pixels_of_waiting_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_batches, "MAX_PIXELS", 100)
    captioner = Captioner()
    sizes = [(6, 5), (7, 5), (8, 5), (9, 5), (10, 5)]
    [(_, answer)] = captioner.answer(call(*sizes))
    assert texts(answer) == [f"{width}x{height}" for width, height in sizes]
    assert captioner.batches[0] == [(7, 5)], "the largest goes first, before there are too many"
    assert len(captioner.batches) == 5


def test_strips_count_as_what_processors_make_of_them() -> None:
    captioner = Captioner()
    captioner.answer(call(*[(200, 1)] * 12, *[(20, 10)] * 3), batch_size=16)
    assert sorted(map(len, captioner.batches)) == [3, 4, 4, 4]
    assert pixels_in_batch(Image.new("RGB", (200, 1))) == 200 * 256 * 256
    assert pixels_in_batch(Image.new("RGB", (8, 1))) == 8
