"""Whisper: what is said in a recording, in its language or in English (arXiv:2212.04356).

`recognizer` reads windows of audio with transformers, `transcript` is the text of one call, `words` finds the times of
words. Nothing heavy is imported before `load`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from contract.config import ModelSpec
from contract.tasks.transcription import TRANSCRIPTION
from contract.tasks.translation import TRANSLATION
from workers import engine
from workers.engine import Call, Device, Engine, Feed, Output, serves
from workers.engines.whisper.options import WhisperOptions
from workers.failures import to_serve_error
from workers.toolkit.model_families import open_checkpoint

if TYPE_CHECKING:
    from workers.engines.whisper.transcript import Transcript


def _group(request: Any) -> Hashable:
    """What requests must have in common to share a batch: the arguments of `generate` that count for all its rows."""
    return type(request).__name__, request.temperature, request.prompt, request.wants_words


class Whisper(Engine):
    """Speech to text with Whisper and models of its kind, such as Distil-Whisper, in windows of 30 seconds."""

    extras: ClassVar[tuple[str, ...]] = ("audio",)
    Options: ClassVar[type[engine.Options]] = WhisperOptions
    model_types: ClassVar[tuple[str, ...]] = ("whisper",)
    imports: ClassVar[tuple[str, ...]] = (
        "av",
        "workers.toolkit.torchvision_shim",
        "transformers:WhisperProcessor",
        "transformers.models.whisper.modeling_whisper",
        f"{__name__}.transcript",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load model and processor. Raises LoadFailed for a checkpoint of another type."""
        options, checkpoint = open_checkpoint(spec, Whisper, WhisperOptions)
        from workers.engines.whisper.recognizer import Recognizer

        self._options = options
        self._recognizer = Recognizer(checkpoint, device, options)

    @serves(TRANSCRIPTION, max_batch=64, group=_group, joins=True)
    @serves(TRANSLATION, max_batch=64, group=_group, joins=True)
    def answer(self, feed: Feed[Any]) -> Iterator[tuple[Call[Any], Output]]:
        """Read the next window of each call, in shared batches, until all are read."""
        work: list[Transcript] = []
        while True:
            for call in feed.take(self._options.batch_size - len(work)):
                yield from self._opened(call, work)
            work = [transcript for transcript in work if not transcript.call.cancelled]
            if not work:
                return
            yield from self._recognizer.advance(work)
            work = [transcript for transcript in work if not transcript.ended]

    def _opened(self, call: Call[Any], work: list[Transcript]) -> Iterator[tuple[Call[Any], Output]]:
        try:
            work.append(self._recognizer.open(call, self._options.max_minutes))
        except Exception as error:  # it must not end the answers of the others
            yield call, to_serve_error(error)
