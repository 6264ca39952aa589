"""Speaks sentences with mlx-audio's Kokoro.

The library's own pipelines write phonemes with misaki, which brings spaCy and its models. Here espeak-ng writes them,
as for the engine `kokoro`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from kokoro_onnx.chunker import split_phonemes
from mlx_audio import tts
from mlx_audio.tts.models.kokoro.voice import load_voice_tensor

from contract.config import ModelSpec
from contract.errors import LoadFailed
from contract.tasks.speech import SpeechRequest
from workers.engine import Device
from workers.engines.mlx_kokoro.options import MlxKokoroOptions
from workers.toolkit import snapshots
from workers.toolkit.speech.phonemes import KokoroPhonemes, by_grade
from workers.toolkit.speech.speaker import Sound
from workers.toolkit.speech.voices import Voices


class MlxKokoroVoice:
    """A loaded model with its voices."""

    speeds = (0.5, 2.0)

    def __init__(self, spec: ModelSpec, device: Device, options: MlxKokoroOptions) -> None:
        self.name = spec.id
        folder = snapshots.folder(spec.source, spec.revision)
        self._files = _voices(folder, spec)
        self.voices = Voices(by_grade(self._files), options.voices)
        self._model = tts.load(folder, lazy=True, model_type="kokoro")
        if device.dtype != "auto":
            self._model.set_dtype(getattr(mx, device.dtype))
        mx.eval(self._model.parameters())
        self.sample_rate: int = self._model.sample_rate
        self._phonemes = KokoroPhonemes(self._model.vocab)
        self._longest = self._model.context_length - 2  # a blank around them

    def check(self, request: SpeechRequest, voice: str) -> None:
        """Raise InvalidField for a language that espeak-ng does not know."""
        self._phonemes.check(request, voice)

    def unread(self, text: str) -> str:  # noqa: ARG002 - every text has phonemes
        """Nothing: espeak-ng reads all that it can, digits too."""
        return ""

    def say(self, sentence: str, voice: str, request: SpeechRequest, seed: int) -> Sound:
        """Speak one sentence, with the noise of a seed."""
        phonemes = self._phonemes.write(sentence, voice, request)
        mx.random.seed(seed % 2**32)
        style = load_voice_tensor(str(self._files[voice]))
        outputs = [self._spoken(part, style, request.speed) for part in split_phonemes(phonemes, self._longest)]
        samples = [np.array(output.audio.astype(mx.float32)).reshape(-1) for output in outputs]
        frames = sum(int(output.pred_dur.sum()) for output in outputs)
        return Sound(np.concatenate([*samples, np.zeros(0, np.float32)]), len(phonemes), frames)

    def _spoken(self, phonemes: str, style: Any, speed: float) -> Any:
        """The model's output for as many phonemes as it takes; voices have a style for each number of them."""
        return self._model(phonemes, style[min(len(phonemes), len(style)) - 1], speed, return_output=True)


def _voices(folder: Path, spec: ModelSpec) -> dict[str, Path]:
    """The files of voices by their names. Raises LoadFailed for a folder that mlx-audio cannot read as Kokoro."""
    config = folder / "config.json"
    if not config.is_file() or "istftnet" not in json.loads(config.read_text(encoding="utf-8")):
        raise LoadFailed(
            f"{spec.source} has no config.json of Kokoro. Name a conversion for MLX as `source`, such as "
            "mlx-community/Kokoro-82M-bf16."
        )
    files = {file.stem: file for file in sorted((folder / "voices").glob("*.safetensors"))}
    if not files:
        raise LoadFailed(f"{spec.source} has no voices: files such as voices/af_heart.safetensors.")
    return files
