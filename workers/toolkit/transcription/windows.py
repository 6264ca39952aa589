"""Writes down recordings, window by window: the loop around a model that reads the next window of several.

New calls join between two windows. Each recording goes on where its last window ended, or where it cut off a sentence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

from pydantic import BaseModel
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from contract.errors import InvalidField, ServeError, UnsupportedFeature
from workers.engine import Call, Feed
from workers.failures import to_serve_error
from workers.toolkit.audio_reader import AudioReader
from workers.toolkit.transcription.transcript import Transcript

Events = Iterator[tuple[Call[Any], BaseModel | ServeError | None]]


class WindowReader(Protocol):
    """A loaded model. `languages` are the codes that it knows; one that is not multilingual knows English alone."""

    name: str
    sample_rate: int
    window_seconds: float
    is_multilingual: bool
    knows_words: bool
    tokenizer: Any

    @property
    def languages(self) -> Collection[str]:
        """The codes of the languages that a request may name."""

    def advance(self, work: Sequence[Transcript], windows: Sequence[Any]) -> Events:
        """Read the next window of each transcript, all of one group. A window has the shape (samples,)."""


def read_windows(feed: Feed[Any], model: WindowReader, *, batch_size: int, max_minutes: float) -> Events:
    """The answers to calls, window by window in shared batches, for an engine's method with `joins`."""
    work: list[Transcript] = []
    while True:
        for call in feed.take(batch_size - len(work)):
            try:
                work.append(_open(call, model, max_minutes))
            except Exception as error:  # it must not end the answers of the others
                yield call, to_serve_error(error)
        work = [transcript for transcript in work if not transcript.call.cancelled]
        if not work:
            return
        yield from _advance(_alike(work), model)
        work = [transcript for transcript in work if not transcript.ended]


def _advance(work: Sequence[Transcript], model: WindowReader) -> Events:
    """Read the next windows, of those recordings that have one."""
    reading, windows = [], []
    for transcript in work:
        try:
            windows.append(transcript.audio.window(model.window_seconds))
            reading.append(transcript)
        except ServeError as error:
            yield from failed(transcript, error)
    if reading:
        yield from model.advance(reading, windows)


def failed(transcript: Transcript, error: Exception) -> Events:
    """End a call with an error, so that the others go on."""
    transcript.ended = True
    yield transcript.call, to_serve_error(error)


def _open(call: Call[Any], model: WindowReader, max_minutes: float) -> Transcript:
    """Begin a call. Raises InvalidField or UnsupportedFeature for one that this model cannot answer."""
    request = call.request
    task = "transcribe" if "language" in type(request).model_fields else "translate"
    if task == "translate" and not model.is_multilingual:
        raise UnsupportedFeature(f"{model.name} knows English only, so it does not translate.")
    if request.wants_words and not model.knows_words:
        raise UnsupportedFeature(
            f"{model.name} has no `alignment_heads` in its generation_config.json, so it knows no times of words: "
            "leave `word` out of `timestamp_granularities`.",
            param="timestamp_granularities",
        )
    _check_prompt(request.prompt, model)
    language = _language(getattr(request, "language", None), model)
    try:
        content = request.file.read()
    except ValueError as error:
        raise InvalidField(f"`file`: {error}.", param="file") from None
    audio = AudioReader(content, model.sample_rate)
    transcript = Transcript(call, audio, max_minutes * 60, task, language)
    transcript.check_length()
    if audio.ended:
        raise InvalidField("The recording is empty, or damaged as a whole. Send another file.", param="file")
    return transcript


def _check_prompt(prompt: str | None, model: WindowReader) -> None:
    """Raises InvalidField for a prompt with control tokens, which would end it or change the task."""
    special = set(model.tokenizer.all_special_ids)
    tokens = model.tokenizer.encode(f" {prompt or ''}", add_special_tokens=False)
    if control := [token for token in tokens if token in special]:
        name = model.tokenizer.decode([control[0]])
        raise InvalidField(f"`prompt` has {name}, a control token of the model. Leave it out.", param="prompt")


def _language(name: str | None, model: WindowReader) -> str | None:
    """The code of a language. Raises InvalidField for one that the model does not know."""
    wanted = (name or "").strip().lower()
    code = TO_LANGUAGE_CODE.get(wanted, wanted)
    if code and code not in model.languages:
        raise InvalidField(
            f"`language`: {model.name} does not know {name!r}. It knows {', '.join(sorted(model.languages))}.",
            param="language",
        )
    return code or (None if model.is_multilingual else "en")


def _alike(work: Sequence[Transcript]) -> Sequence[Transcript]:
    """Those whose next window may share a batch: a prompt stands before the first windows alone."""
    first = [transcript for transcript in work if transcript.is_first_window]
    return first if first and work[0].call.request.prompt else work
