"""The pictures of several calls, worked on together: opened, put into batches of like ones, answered call by call.

What every vision engine needs around its model: a call fails alone, one whose client has left costs nothing more, and
a picture's answer does not depend on whom it shared a batch with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from contract.errors import ServeError
from contract.media import MAX_PIXELS
from contract.tasks import Response
from contract.tasks.vision import VisionItem, VisionRequest, VisionUsage
from workers.engine import Call, Output
from workers.toolkit.image_loading import open_image

if TYPE_CHECKING:
    from PIL import Image

Req = TypeVar("Req", bound=VisionRequest)


@dataclass(eq=False, slots=True)
class BatchImage(Generic[Req]):
    """One picture of a call: upright, RGB. `index` is its place in the request."""

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
        """What every item of an answer says of its picture: `index`, `width`, `height`."""
        return {"index": self.index, "width": self.width, "height": self.height}


@dataclass(eq=False, slots=True)
class _PendingCall(Generic[Req]):
    """A call on its way: what came of each of its pictures."""

    call: Call[Req]
    left: int
    items: dict[int, VisionItem] = field(default_factory=dict)
    error: ServeError | None = None
    told: bool = False

    @property
    def open(self) -> bool:
        """Whether somebody still waits for it."""
        return not (self.told or self.call.cancelled)


_Batch = list[tuple[_PendingCall[Req], BatchImage[Req]]]

Work = Callable[[list[BatchImage[Req]]], Sequence[VisionItem | ServeError]]
"""Makes of a batch of pictures an item each, in their order, or the error that its call is to get."""


def size_key(picture: BatchImage[Any]) -> Hashable:
    """Pictures of one size look alike to a processor, so that none is padded to another's size."""
    return picture.width, picture.height


@dataclass(frozen=True, slots=True)
class ImageBatcher:
    """Batches up to `batch_size` images with the same `group_by` value. `model` is the name in answers."""

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
        """Answer each call as soon as its last picture is done: `respond(model=…, data=[item, …], usage=…)`.

        `work` gets images of one group, from one call or several. `check` may refuse a picture before by raising
        a ServeError (a box that lies outside of it), which is then its call's answer. So is a picture that does not
        open. Pictures wait open for company only up to MAX_PIXELS in all.
        """
        started = time.perf_counter()
        jobs = [_PendingCall(call, len(call.request.all_images)) for call in calls]
        batches: dict[Hashable, _Batch[Req]] = {}
        for job in jobs:
            for picture in _open(job, check):
                batch = batches.setdefault(self.group_by(picture), [])
                batch.append((job, picture))
                if len(batch) == self.batch_size:
                    _run(batch, work)
                elif _pixels(batches.values()) > MAX_PIXELS:
                    _run(max(batches.values(), key=lambda one: _pixels([one])), work)
            yield from self._finished(jobs, respond, started)
        for batch in batches.values():
            _run(batch, work)
            yield from self._finished(jobs, respond, started)

    def _finished(
        self, jobs: Sequence[_PendingCall[Req]], respond: Callable[..., Response], started: float
    ) -> Iterator[tuple[Call[Req], Output]]:
        for job in jobs:
            if job.open and (job.error or not job.left):
                job.told = True
                yield job.call, job.error or self._response(job, respond, started)

    def _response(self, job: _PendingCall[Any], respond: Callable[..., Response], started: float) -> Response:
        usage = VisionUsage(images=len(job.items), latency=time.perf_counter() - started)
        return respond(model=self.model, data=[job.items[index] for index in sorted(job.items)], usage=usage)


def _open(job: _PendingCall[Req], check: Callable[[BatchImage[Req]], None] | None) -> Iterator[BatchImage[Req]]:
    """The call's pictures one after another, for as long as it is open and none of them is refused."""
    for index, source in enumerate(job.call.request.all_images):
        if not job.open or job.error:
            return
        try:
            picture = BatchImage(job.call, index, open_image(source))
            if check:
                check(picture)
        except ServeError as error:
            job.error = error
            return
        yield picture


def _pixels(batches: Iterable[_Batch[Any]]) -> int:
    """How many pixels wait in batches; an open picture takes three bytes for each."""
    return sum(picture.width * picture.height for batch in batches for _, picture in batch)


def _run(batch: _Batch[Req], work: Work[Req]) -> None:
    """Work on those of the batch that somebody still waits for, and empty it."""
    wanted = [(job, picture) for job, picture in batch if job.open and not job.error]
    batch.clear()
    if not wanted:
        return
    for (job, picture), item in zip(wanted, work([picture for _, picture in wanted]), strict=True):
        if isinstance(item, ServeError):
            job.error = job.error or item
            continue
        job.items[picture.index] = item
        job.left -= 1
        job.call.progress(len(job.items), len(job.call.request.all_images))
