"""Whisper: what is said in a recording, in its language or in English (arXiv:2212.04356).

`recognizer` reads windows of audio with transformers, `words` finds the times of words. Nothing heavy is imported
before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from contract.config import ModelSpec
from contract.tasks.transcription import TRANSCRIPTION
from contract.tasks.translation import TRANSLATION
from workers import engine
from workers.engine import Call, Device, Engine, Feed, Output, serves
from workers.engines.whisper.options import WhisperOptions
from workers.toolkit.model_families import open_checkpoint
from workers.toolkit.transcription.groups import window_group


class Whisper(Engine):
    """Speech to text with Whisper and models of its kind, such as Distil-Whisper, in windows of 30 seconds."""

    extras: ClassVar[tuple[str, ...]] = ("audio",)
    Options: ClassVar[type[engine.Options]] = WhisperOptions
    model_types: ClassVar[tuple[str, ...]] = ("whisper",)
    imports: ClassVar[tuple[str, ...]] = (
        "av",
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        "transformers:WhisperProcessor",
        "transformers.models.whisper.modeling_whisper",
        "workers.toolkit.transcription.windows",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load model and processor. Raises LoadFailed for a checkpoint of another type."""
        options, checkpoint = open_checkpoint(spec, Whisper, WhisperOptions)
        from workers.engines.whisper.recognizer import Recognizer

        self._options = options
        self._recognizer = Recognizer(checkpoint, device, options)

    @serves(TRANSCRIPTION, max_batch=64, group=window_group, joins=True)
    @serves(TRANSLATION, max_batch=64, group=window_group, joins=True)
    def answer(self, feed: Feed[Any]) -> Iterator[tuple[Call[Any], Output]]:
        """Read the next window of each call, in shared batches, until all are read."""
        from workers.toolkit.transcription.windows import read_windows

        options = self._options
        yield from read_windows(feed, self._recognizer, batch_size=options.batch_size, max_minutes=options.max_minutes)
