"""Speaks sentences with kokoro-onnx."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from kokoro_onnx import Kokoro

from contract.config import ModelSpec
from contract.errors import LoadFailed
from contract.tasks.speech import SpeechRequest
from workers.engines.kokoro.options import KokoroOptions
from workers.toolkit import snapshots
from workers.toolkit.speech.phonemes import FIRST, KokoroPhonemes, by_grade
from workers.toolkit.speech.speaker import Sound
from workers.toolkit.speech.voices import Voices

_STYLE = (-1, 1, 256)
"""The shape of a voice: a vector of 256 numbers for each length of a sentence, in phonemes."""
_SAMPLES_PER_FRAME = 600


class KokoroVoice:
    """A loaded model with its voices."""

    speeds = (0.5, 2.0)
    sample_rate = 24_000

    def __init__(self, spec: ModelSpec, options: KokoroOptions) -> None:
        self.name = spec.id
        folder = snapshots.folder(spec.source, spec.revision)
        self._styles = _styles(folder, spec)
        self.voices = Voices(by_grade(self._styles), options.voices)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads or 0
        settings.log_severity_level = 3
        file = _model_file(folder, spec, options.file)
        session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
        # It reads voices from one file of its own form. Ours are given to it with each sentence, so any file will do.
        with tempfile.TemporaryDirectory() as scratch:
            voices = Path(scratch) / "voices.npz"
            np.savez(voices, none=np.zeros(1, np.float32))
            self._kokoro = Kokoro.from_session(session, str(voices))
        self._phonemes = KokoroPhonemes(self._kokoro.tokenizer.vocab)

    def check(self, request: SpeechRequest, voice: str) -> None:
        """Raise InvalidField for a language that espeak-ng does not know."""
        self._phonemes.check(request, voice)

    def unread(self, text: str) -> str:  # noqa: ARG002 - every text has phonemes
        """Nothing: espeak-ng reads all that it can, digits too."""
        return ""

    def say(self, sentence: str, voice: str, request: SpeechRequest, seed: int) -> Sound:  # noqa: ARG002
        """Speak one sentence. The model draws its noise itself, so the seed has no effect."""
        phonemes = self._phonemes.write(sentence, voice, request)
        if not phonemes:
            return Sound(np.zeros(0, np.float32), 0, 0)
        samples, _ = self._kokoro.create(phonemes, self._styles[voice], request.speed, is_phonemes=True)
        return Sound(samples.astype(np.float32), len(phonemes), len(samples) // _SAMPLES_PER_FRAME)


def _styles(folder: Path, spec: ModelSpec) -> Mapping[str, Any]:
    """The voices by their names: a file for each, or all in one file of kokoro-onnx' releases. Raises LoadFailed."""
    files = sorted((folder / "voices").glob("*.bin"))
    styles = {file.stem: np.fromfile(file, np.float32).reshape(_STYLE) for file in files}
    if not styles and (together := next(iter(sorted(folder.glob("voices*.bin"))), None)):
        with np.load(together, allow_pickle=False) as archive:
            styles = {name: archive[name] for name in archive.files}
    if not styles:
        raise LoadFailed(f"{spec.source} has no voices: files such as voices/{FIRST}.bin, or voices-v1.0.bin.")
    return styles


def _model_file(folder: Path, spec: ModelSpec, name: str) -> Path:
    """The model's file, downloaded if needed. Raises LoadFailed."""
    if (folder / name).is_file():
        return folder / name
    if not Path(spec.source).expanduser().exists():
        return snapshots.file(f"{spec.source}/{name}", spec.revision)
    others = sorted(folder.glob("*.onnx"))
    if len(others) == 1:
        return others[0]
    raise LoadFailed(f"{spec.source} has no file {name}. Name the model's file in `options.file`.")
