"""Reads windows of audio with mlx-audio's Whisper, a window of several recordings at a time.

The library's own loop over windows answers only when all of one recording are read.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_audio import stt
from mlx_audio.stt.models.whisper import audio
from mlx_audio.stt.models.whisper.decoding import DecodingOptions, DecodingTask, LogitFilter
from mlx_audio.stt.models.whisper.timing import add_word_timestamps

from contract.errors import LoadFailed
from contract.tasks.transcription import TranscriptWord
from workers.engine import Call, Device
from workers.engines.mlx_whisper.options import MlxWhisperOptions
from workers.engines.mlx_whisper.segments import segments
from workers.toolkit.finite import not_finite_scores
from workers.toolkit.pretrained import Checkpoint
from workers.toolkit.transcription.transcript import Piece, Transcript
from workers.toolkit.transcription.windows import Events, failed

_MAX_COMPRESSION, _MIN_LOGPROB, _SILENCE = 2.4, -1.0, 0.6
"""When a text is read again at the next temperature, or is none: the library's values, which are those of the paper."""
_DTYPES = {"auto": mx.float16, "float16": mx.float16, "float32": mx.float32}


@dataclass(eq=False)
class _SpokenWindow:
    """A transcript's next window: its spectrogram (frames, frequencies), and how many of the frames are no padding."""

    transcript: Transcript
    seconds: float
    spectrogram: Any
    frames: int
    features: Any = None
    result: Any = None
    is_finite: bool = True

    @property
    def padded(self) -> Any:
        """What the library reads of the spectrogram: zeros follow the recording's end."""
        return audio.pad_or_trim(self.spectrogram[: self.frames], audio.N_FRAMES, axis=-2)


class MlxRecognizer:
    """A loaded model with its tokenizer."""

    sample_rate = audio.SAMPLE_RATE
    window_seconds = float(audio.CHUNK_LENGTH)
    knows_words = True  # without `alignment_heads` the library takes the upper half of the layers

    def __init__(self, checkpoint: Checkpoint, device: Device, options: MlxWhisperOptions) -> None:
        self.name = checkpoint.spec.id
        self.model = _load(checkpoint, device)
        self.is_multilingual: bool = self.model.is_multilingual
        tokenizer = self.model.get_tokenizer()
        self.tokenizer = tokenizer.hf_tokenizer
        self._fallback = options.fallback_temperatures
        self._languages = frozenset(tokenizer.all_language_codes) if self.is_multilingual else frozenset({"en"})

    @property
    def languages(self) -> Collection[str]:
        """The codes of the languages that it knows."""
        return self._languages

    def advance(self, work: Sequence[Transcript], windows: Sequence[Any]) -> Events:
        """Read the next window of each transcript, all of one group. A window has the shape (samples,)."""
        rows = [self._row(transcript, window) for transcript, window in zip(work, windows, strict=True)]
        self._find_languages([row for row in rows if row.transcript.language is None])
        for language in dict.fromkeys(row.transcript.language for row in rows):
            self._decode([row for row in rows if row.transcript.language == language and row.frames])
        for row in rows:
            try:
                yield from row.transcript.add(*self._read(row))
            except Exception as error:  # the others go on
                yield from failed(row.transcript, error)

    def _row(self, transcript: Transcript, window: Any) -> _SpokenWindow:
        spectrogram = audio.log_mel_spectrogram(mx.array(window), self.model.dims.n_mels, padding=audio.N_SAMPLES)
        spectrogram = spectrogram.astype(self.model.dtype)
        frames = min(spectrogram.shape[0] - audio.N_FRAMES, audio.N_FRAMES)
        return _SpokenWindow(transcript, len(window) / self.sample_rate, spectrogram, frames)

    def _find_languages(self, rows: Sequence[_SpokenWindow]) -> None:
        """Recognise the languages of recordings, of each in its first window."""
        if rows:
            spectrograms = mx.stack([audio.pad_or_trim(row.spectrogram, audio.N_FRAMES, axis=-2) for row in rows])
            _, chances = self.model.detect_language(spectrograms)
            for row, chance in zip(rows, chances, strict=True):
                row.transcript.language = max(chance, key=chance.get)

    def _decode(self, rows: Sequence[_SpokenWindow]) -> None:
        """Read windows in one language, and those that come out badly again at the next temperature."""
        if not rows:
            return
        request = rows[0].transcript.call.request  # equal in all of them, as the group says
        features = self.model.embed_audio(mx.stack([row.padded for row in rows]))
        for row, values in zip(rows, features, strict=True):
            row.features = values
        wanted = list(rows)
        for temperature in (request.temperature,) if request.temperature else (0.0, *self._fallback):
            for row, (result, row.is_finite) in zip(wanted, self._decode_at(temperature, wanted), strict=True):
                row.result = result
            wanted = [row for row in wanted if _is_bad(row.result) and not row.transcript.call.cancelled]
            if not wanted:
                return

    def _decode_at(self, temperature: float, rows: Sequence[_SpokenWindow]) -> Iterable[tuple[Any, bool]]:
        """The library's result for each window, and whether all scores were numbers."""
        first = rows[0].transcript
        prompt = first.call.request.prompt if all(row.transcript.is_first_window for row in rows) else None
        options = DecodingOptions(
            task=first.task, language=first.language, temperature=temperature, prompt=prompt,
            fp16=self.model.dtype == mx.float16,
        )  # fmt: skip
        decoding = DecodingTask(self.model, options)
        calls = [row.transcript.call for row in rows]
        rules = _TimeRules(decoding.logit_filters[-1], calls, decoding.tokenizer, self.model.dims.n_vocab)
        decoding.logit_filters[-1] = rules
        results = decoding.run(mx.stack([row.features for row in rows]))
        return zip(results, map(bool, np.array(rules.finite)), strict=True)

    def _read(self, row: _SpokenWindow) -> tuple[list[Piece], float]:
        """The pieces of a window, and how much of it was read."""
        transcript, result = row.transcript, row.result
        if result is None:  # less than a hundredth of a second
            return [], row.seconds
        if not row.is_finite:
            raise not_finite_scores(self.name, self.model.dtype)
        transcript.no_speech_prob = result.no_speech_prob if math.isfinite(result.no_speech_prob) else 0.0
        if transcript.no_speech_prob > _SILENCE and result.avg_logprob <= _MIN_LOGPROB:
            return [], row.seconds
        tokenizer = self.model.get_tokenizer(language=transcript.language, task=transcript.task)
        found, read = segments(result.tokens, tokenizer.timestamp_begin, row.seconds)
        parts: list[dict[str, Any]] = [
            {"seek": 0, "start": one.start, "end": one.end, "tokens": list(one.tokens), "words": []} for one in found
        ]
        if transcript.call.request.wants_words and row.frames > 1:
            self._find_words(row, parts, tokenizer)
        pieces = [_piece(part, tokenizer, result, read) for part in parts if part["start"] != part["end"]]
        return [piece for piece in pieces if piece.text.strip()], read

    def _find_words(self, row: _SpokenWindow, parts: list[dict[str, Any]], tokenizer: Any) -> None:
        """Add to each part its words, and correct its times by theirs."""
        transcript = row.transcript
        add_word_timestamps(
            segments=parts, model=self.model, tokenizer=tokenizer, mel=row.padded, num_frames=row.frames,
            last_speech_timestamp=transcript.last_word_end - transcript.audio.position,
        )  # fmt: skip


class _TimeRules(LogitFilter):  # type: ignore[misc]
    """The library's rules for times, without two faults: a missing token, and work for cancelled calls.

    After two times a text has to follow. The library still forbids all text where a time is more probable, so that
    no token is left; it then writes "!" and computes NaN.
    """

    def __init__(self, rules: Any, calls: Sequence[Call[Any]], tokenizer: Any, tokens: int) -> None:
        self._rules = rules
        self._calls = calls
        ids = mx.arange(tokens)
        self._text = mx.where((ids >= tokenizer.timestamp_begin) | (ids == tokenizer.no_timestamps), -mx.inf, 0.0)
        self._end = mx.where(ids == tokenizer.eot, 0.0, -mx.inf)
        self.finite = mx.full(len(calls), True)
        """Whether each row had scores that are numbers, at every token so far."""

    def apply(self, logits: Any, tokens: Any) -> Any:
        self.finite = self.finite & mx.isfinite(logits).any(axis=-1)
        mx.eval(self.finite)
        ruled = self._rules.apply(logits, tokens)
        is_stuck = ruled.max(axis=-1, keepdims=True) == -mx.inf
        ruled = mx.where(is_stuck, logits + self._text, ruled)
        cancelled = [call.cancelled for call in self._calls]
        return mx.where(mx.array(cancelled)[:, None], self._end, ruled) if any(cancelled) else ruled


def _load(checkpoint: Checkpoint, device: Device) -> Any:
    """The model in its precision. Raises LoadFailed without a tokenizer, or for a precision that the library lacks."""
    source = checkpoint.spec.source
    if device.dtype not in _DTYPES:
        raise LoadFailed("mlx-audio runs Whisper with float16 or float32: set one of them as `dtype`, or none.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no tokenizer, which is an error here
        model = stt.load(checkpoint.folder, lazy=True, model_type=checkpoint.model_type)
    try:
        tokenizer = model.get_tokenizer()
    except ValueError:
        raise LoadFailed(
            f"{source} lacks the files of its tokenizer, such as tokenizer.json. Name the original repository as "
            "`source`, such as openai/whisper-large-v3-turbo."
        ) from None
    if tokenizer.timestamp_begin != tokenizer.no_timestamps + 1:
        raise LoadFailed(
            f"{source} has no tokens of times in its tokenizer, without which no times can be read. Copy the files of "
            "the tokenizer from the model that it was trained from."
        )
    model.dtype = _DTYPES[device.dtype]
    model.set_dtype(model.dtype)
    mx.eval(model.parameters())
    return model


def _is_bad(result: Any) -> bool:
    """Whether a text repeats itself or is improbable, and there is no silence."""
    if result.no_speech_prob > _SILENCE and result.avg_logprob < _MIN_LOGPROB:
        return False
    return bool(result.compression_ratio > _MAX_COMPRESSION or result.avg_logprob < _MIN_LOGPROB)


def _piece(part: dict[str, Any], tokenizer: Any, result: Any, seconds: float) -> Piece:
    """A segment as the client gets it, within the part of the window that was read."""
    start = min(part["start"], seconds)
    return Piece(
        start=start,
        end=max(min(part["end"], seconds), start),
        text=tokenizer.decode([token for token in part["tokens"] if token < tokenizer.eot]),
        tokens=part["tokens"],
        avg_logprob=result.avg_logprob,
        temperature=result.temperature,
        words=list(_words(part["words"], seconds)),
    )


def _words(words: Iterable[dict[str, Any]], seconds: float) -> Iterable[TranscriptWord]:
    for word in words:
        if text := word["word"].strip():
            start = min(word["start"], seconds)
            yield TranscriptWord(word=text, start=start, end=max(min(word["end"], seconds), start))
