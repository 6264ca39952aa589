"""Batches the images of several calls: opens them, groups those that fit together, and answers call by call.

Vision engines put only their model's work into this. A call fails alone, a cancelled call costs no more work, and an
image's result does not depend on the other images in its batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from contract.errors import ServeError
from contract.image_loading import open_image
from contract.media import MAX_PIXELS
from contract.tasks import Response
from contract.tasks.vision import VisionItem, VisionRequest, VisionUsage
from workers.engine import Call, Output
from workers.toolkit.finite import is_finite, not_finite

if TYPE_CHECKING:
    from PIL import Image

Req = TypeVar("Req", bound=VisionRequest)


@dataclass(eq=False, slots=True)
class BatchImage(Generic[Req]):
    """One image of a call, upright and in RGB. `index` is its place in the request."""

    call: Call[Req]
    index: int
    pil: Image.Image

    @property
    def request(self) -> Req:
        return self.call.request

    @property
    def width(self) -> int:
        return int(self.pil.width)

    @property
    def height(self) -> int:
        return int(self.pil.height)

    @property
    def item_fields(self) -> dict[str, int]:
        """The fields that every item of a response has: the image's `index`, `width` and `height`."""
        return {"index": self.index, "width": self.width, "height": self.height}


@dataclass(eq=False, slots=True)
class _PendingCall(Generic[Req]):
    """A call and the results of its images so far."""

    call: Call[Req]
    remaining: int
    items: dict[int, VisionItem] = field(default_factory=dict)
    error: ServeError | None = None
    answered: bool = False

    @property
    def open(self) -> bool:
        """Whether it still needs an answer."""
        return not (self.answered or self.call.cancelled)


_STRIP_RATIO = 8
_PROCESSED_SIDE = 256


def pixels_in_batch(image: Image.Image) -> int:
    """How many pixels an image counts for in a batch: its own or, for a strip, those that processors make of it.

    Many of them scale the shorter side to about 256 pixels, so that a strip of 200x1 becomes an image of 13 million.
    """
    shorter, longer = sorted(image.size)
    processed = _PROCESSED_SIDE**2 * longer // shorter if longer > _STRIP_RATIO * shorter else 0
    return int(max(shorter * longer, processed))


_ImageBatch = list[tuple[_PendingCall[Req], BatchImage[Req]]]

Work = Callable[[list[BatchImage[Req]]], Sequence[VisionItem | ServeError]]
"""Turns a batch of images into an item for each, in their order, or into the error that its call gets."""


def size_key(image: BatchImage[Any]) -> Hashable:
    """Groups images of equal size, so that a processor pads none of them."""
    return image.width, image.height


@dataclass(frozen=True, slots=True)
class ImageBatcher:
    """Batches up to `batch_size` images with the same `group_by` value. `model` is the name in responses."""

    model: str
    batch_size: int
    group_by: Callable[[BatchImage[Any]], Hashable] = size_key

    def answer(
        self,
        calls: Sequence[Call[Req]],
        work: Work[Req],
        respond: Callable[..., Response],
        check: Callable[[BatchImage[Req]], None] | None = None,
    ) -> Iterator[tuple[Call[Req], Output]]:
        """Answer each call as soon as its last image is done: `respond(model=…, data=[item, …], usage=…)`.

        `work` gets images of one group, from one call or several. `check` may refuse an image by raising a ServeError
        (a box outside of it, say), which then is its call's answer; so is the error of an image that cannot be opened.
        Opened images wait for a full batch as long as they have at most MAX_PIXELS in all.
        """
        started = time.perf_counter()
        pending = [_PendingCall(call, len(call.request.all_images)) for call in calls]
        batches: dict[Hashable, _ImageBatch[Req]] = {}
        for owner in pending:
            for image in _open(owner, check):
                while (waiting := _pixels(batches.values())) and waiting + pixels_in_batch(image.pil) > MAX_PIXELS:
                    self._run(max(batches.values(), key=lambda batch: _pixels([batch])), work)
                batch = batches.setdefault(self.group_by(image), [])
                batch.append((owner, image))
                if len(batch) == self.batch_size:
                    self._run(batch, work)
            yield from self._finished(pending, respond, started)
        for batch in batches.values():
            self._run(batch, work)
            yield from self._finished(pending, respond, started)

    def _run(self, batch: _ImageBatch[Req], work: Work[Req]) -> None:
        """Run the batch without the images of calls that need no answer any more, and empty it."""
        wanted = [(owner, image) for owner, image in batch if owner.open and not owner.error]
        batch.clear()
        if not wanted:
            return
        for (owner, image), item in zip(wanted, work([image for _, image in wanted]), strict=True):
            if isinstance(item, ServeError):
                owner.error = owner.error or item
            elif not is_finite(item):
                owner.error = owner.error or not_finite(self.model, "image", image.index)
            else:
                owner.items[image.index] = item
                owner.remaining -= 1
                owner.call.progress(len(owner.items), len(owner.call.request.all_images))

    def _finished(
        self, pending: Sequence[_PendingCall[Req]], respond: Callable[..., Response], started: float
    ) -> Iterator[tuple[Call[Req], Output]]:
        for owner in pending:
            if owner.open and (owner.error or not owner.remaining):
                owner.answered = True
                yield owner.call, owner.error or self._response(owner, respond, started)

    def _response(self, owner: _PendingCall[Any], respond: Callable[..., Response], started: float) -> Response:
        usage = VisionUsage(images=len(owner.items), latency=time.perf_counter() - started)
        return respond(model=self.model, data=[owner.items[index] for index in sorted(owner.items)], usage=usage)


def _open(owner: _PendingCall[Req], check: Callable[[BatchImage[Req]], None] | None) -> Iterator[BatchImage[Req]]:
    """The call's images one after another, until it is cancelled or one of them is refused."""
    for index, source in enumerate(owner.call.request.all_images):
        if not owner.open or owner.error:
            return
        try:
            image = BatchImage(owner.call, index, open_image(source))
            if check:
                check(image)
        except ServeError as error:
            owner.error = error
            return
        yield image


def _pixels(batches: Iterable[_ImageBatch[Any]]) -> int:
    """How many pixels are waiting in batches; an opened image takes three bytes for each."""
    return sum(pixels_in_batch(image.pil) for batch in batches for _, image in batch)
