"""What a family of detectors is: pictures and labels in, candidates out; the engine does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from PIL import Image

from contract.errors import InvalidField
from contract.tasks.detect import DetectRequest
from workers.engine import Device
from workers.toolkit.pretrained import Checkpoint, TorchOptions, resizes_to_one_size


class ScoredBox(NamedTuple):
    """A box `[x0, y0, x1, y1]` in pixels with the label that fits best, before any threshold.

    `text_score` is how well the label's best word fits, where a family tells that from the box's `score`.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]
    text_score: float = 1.0


class Detector(ABC):
    """A loaded model of one family."""

    features: ClassVar[frozenset[str]] = frozenset()
    """Which of the engine's features it has."""
    box_threshold: ClassVar[float] = 0.5
    text_threshold: ClassVar[float] = 0.0

    @abstractmethod
    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None: ...

    @property
    @abstractmethod
    def pictures(self) -> Any:
        """The image processor."""

    @property
    def one_size(self) -> bool:
        """Whether pictures of any size may be looked at together."""
        return resizes_to_one_size(self.pictures)

    @abstractmethod
    def check(self, request: DetectRequest) -> None:
        """Raise a ServeError for what the model cannot be asked."""

    @abstractmethod
    def look(self, images: Sequence[Image.Image], labels: Sequence[str]) -> list[list[ScoredBox]]:
        """Every candidate in each of the pictures."""


def no_prompt(name: str) -> InvalidField:
    """What to do about a request that does not say what to look for."""
    return InvalidField(
        f"{name} finds what a text names: say in `prompt` what to look for, "
        'such as "cat" or ["cat", "remote control"].',
        param="prompt",
    )


def sizes_of(images: Sequence[Image.Image]) -> list[tuple[int, int]]:
    """(height, width) of each picture, as transformers wants it."""
    return [(image.height, image.width) for image in images]


def named(found: dict[str, Any], names: Sequence[str] | dict[int, str]) -> list[ScoredBox]:
    """Candidates of what transformers' `post_process_object_detection` found in one picture."""
    rows = zip(found["labels"].tolist(), found["scores"].tolist(), found["boxes"].tolist(), strict=True)
    return [ScoredBox(names[label], score, tuple(box)) for label, score, box in rows]
