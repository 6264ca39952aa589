"""Reads windows of audio with transformers' Whisper: the library's algorithm for long recordings, a window at a time.

The library's own loop over windows answers only when all are read, and takes no new recordings meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch

from contract.errors import LoadFailed
from workers.engine import Device
from workers.engines.whisper.options import WhisperOptions
from workers.engines.whisper.words import words_of
from workers.toolkit.finite import not_finite_scores
from workers.toolkit.pretrained import Checkpoint
from workers.toolkit.stopping import stop_when_cancelled
from workers.toolkit.transcription.transcript import Piece, Transcript
from workers.toolkit.transcription.windows import Events, failed

_THRESHOLDS = {"compression_ratio_threshold": 1.35, "logprob_threshold": -1.0, "no_speech_threshold": 0.6}
"""When a text is read again at the next temperature, or is none: the values of the paper, the first one in tokens."""


class Recognizer:
    """A loaded model with its processor."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: WhisperOptions) -> None:
        self.name = checkpoint.spec.id
        self.processor = checkpoint.processor("AutoProcessor")
        self.model = checkpoint.model("AutoModelForSpeechSeq2Seq", device, options)
        self.tokenizer = self.processor.tokenizer
        features, settings = self.processor.feature_extractor, self.model.generation_config
        self.sample_rate, self.window_seconds = features.sampling_rate, float(features.chunk_length)
        if not hasattr(settings, "no_timestamps_token_id"):
            raise LoadFailed(
                f"{checkpoint.spec.source} has no `no_timestamps_token_id` in its generation_config.json, without "
                "which no times can be read. Copy that file from the model that it was trained from."
            )
        self._fallback = options.fallback_temperatures
        self._first_timestamp: int = settings.no_timestamps_token_id + 1
        self._languages: dict[int, str] = {
            token: name.strip("<|>") for name, token in getattr(settings, "lang_to_id", {}).items()
        }
        self.is_multilingual = bool(getattr(settings, "is_multilingual", self._languages))
        self.knows_words = bool(getattr(settings, "alignment_heads", None))

    @property
    def languages(self) -> Collection[str]:
        """The codes of the languages that it knows."""
        return frozenset(self._languages.values()) if self.is_multilingual else frozenset({"en"})

    def advance(self, work: Sequence[Transcript], windows: Sequence[Any]) -> Events:
        """Read the next window of each transcript, all of one group. A window has the shape (samples,)."""
        with torch.inference_mode():
            inputs = self._inputs(windows)
            self._look(work, inputs["input_features"])
            rows = self._generate(work, inputs)
        for transcript, window, segments in zip(work, windows, rows, strict=True):
            try:
                seconds = len(window) / self.sample_rate
                yield from transcript.add(*self._read(transcript, segments, seconds))
            except Exception as error:  # the others go on
                yield from failed(transcript, error)

    def _inputs(self, windows: Sequence[Any]) -> dict[str, Any]:
        """Spectrograms of shape (windows, frequencies, frames), and which of the frames are no padding."""
        features = self.processor.feature_extractor(
            list(windows), sampling_rate=self.sample_rate, return_tensors="pt", return_attention_mask=True
        )
        spectrograms = features["input_features"].to(self.model.device, self.model.dtype)
        return {"input_features": spectrograms, "attention_mask": features["attention_mask"].to(self.model.device)}

    def _look(self, work: Sequence[Transcript], features: Any) -> None:
        """Recognise languages and silence from the first token of an answer, where a call needs them."""
        wanted = [t for t in work if t.language is None or t.call.request.response_format == "verbose_json"]
        if not wanted:
            return
        rows = [work.index(transcript) for transcript in wanted]
        settings = self.model.generation_config
        start = torch.full((len(rows), 1), settings.decoder_start_token_id, device=self.model.device)
        logits = self.model(input_features=features[rows], decoder_input_ids=start, use_cache=False).logits[:, -1]
        silence = logits.float().softmax(-1)[:, settings.no_timestamps_token_id - 1].tolist()
        tokens = list(self._languages)
        best = logits[:, tokens].argmax(-1).tolist() if tokens else []
        for number, transcript in enumerate(wanted):
            transcript.no_speech_prob = silence[number]
            transcript.language = transcript.language or self._languages[tokens[best[number]]]

    def _generate(self, work: Sequence[Transcript], inputs: dict[str, Any]) -> list[list[dict[str, Any]]]:
        """The segments of each window, as the library returns them."""
        request = work[0].call.request  # equal in all of them, as the group says
        arguments: dict[str, Any] = {}
        if self.is_multilingual:
            arguments |= {"language": [transcript.language for transcript in work], "task": work[0].task}
        if request.prompt and all(transcript.is_first_window for transcript in work):
            arguments["prompt_ids"] = self.processor.get_prompt_ids(request.prompt, return_tensors="pt").to(
                self.model.device
            )
        temperature = request.temperature
        outputs = self.model.generate(
            **inputs,
            **arguments,
            **_THRESHOLDS,
            temperature=(temperature,) if temperature else (0.0, *self._fallback),
            return_timestamps=True,
            return_token_timestamps=request.wants_words or None,
            return_segments=True,
            force_unique_generate_call=True,
            stopping_criteria=stop_when_cancelled([transcript.call for transcript in work]),
        )
        if request.wants_words:  # the library has chosen an attention that shows its weights, and leaves it so
            self.model.set_attn_implementation("sdpa")
        segments: list[list[dict[str, Any]]] = outputs["segments"]
        return segments

    def _read(
        self, transcript: Transcript, segments: Sequence[dict[str, Any]], seconds: float
    ) -> tuple[list[Piece], float]:
        """The pieces of a window, and how much of it was read.

        If its last segment ends with two times, the next one begins there: the window cuts it off.
        """
        pieces = [self._piece(transcript, segment, seconds) for segment in segments]
        ends = [int(token) >= self._first_timestamp for token in segments[-1]["tokens"][-2:]] if segments else []
        is_cut = len(ends) == 2 and all(ends) and 0 < pieces[-1].end < seconds
        return [piece for piece in pieces if piece.text.strip()], pieces[-1].end if is_cut else seconds

    def _piece(self, transcript: Transcript, segment: dict[str, Any], seconds: float) -> Piece:
        tokens = segment["tokens"].tolist()
        if not all(bool(scores.isfinite().any()) for scores in segment["result"]["scores"]):
            raise not_finite_scores(self.name, self.model.dtype)
        words = words_of(segment, self.tokenizer, self._first_timestamp, str(transcript.language), seconds)
        return Piece(
            start=min(float(segment["start"]), seconds),
            end=min(float(segment["end"]), seconds),
            text=self.tokenizer.decode(tokens, skip_special_tokens=True),
            tokens=tokens,
            avg_logprob=_avg_logprob(segment["result"]),
            words=words if transcript.call.request.wants_words else (),
        )


def _avg_logprob(result: Any) -> float:
    """The mean log-probability of a window's tokens."""
    scores = torch.stack(list(result["scores"])).float().log_softmax(-1)
    tokens = result["sequences"][-len(scores) :]
    return float(scores.gather(-1, tokens.to(scores.device).unsqueeze(-1)).mean())
