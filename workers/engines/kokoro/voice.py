"""Speaks sentences with kokoro-onnx."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from kokoro_onnx import Kokoro
from phonemizer.backend import EspeakBackend

from contract.config import ModelSpec
from contract.errors import InvalidField, LoadFailed
from contract.tasks.speech import SpeechRequest
from workers.engines.kokoro.options import KokoroOptions
from workers.toolkit import snapshots
from workers.toolkit.speech.speaker import Sound
from workers.toolkit.speech.voices import Voices

_STYLE = (-1, 1, 256)
"""The shape of a voice: a vector of 256 numbers for each length of a sentence, in phonemes."""
_SAMPLES_PER_FRAME = 600
_LANGUAGES = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br", "z": "cmn",
}  # fmt: skip
"""espeak-ng's language for the first letter of a voice's name."""
_SHORT = {"en": "en-us", "fr": "fr-fr", "pt": "pt-br", "zh": "cmn"}
"""espeak-ng's names of languages for codes that it does not know."""
_FIRST = "af_heart"
"""The voice that the model's card grades best: the default one."""


class KokoroVoice:
    """A loaded model with its voices."""

    speeds = (0.5, 2.0)
    sample_rate = 24_000

    def __init__(self, spec: ModelSpec, options: KokoroOptions) -> None:
        self.name = spec.id
        folder = snapshots.folder(spec.source, spec.revision)
        self._styles = _styles(folder, spec)
        names = sorted(self._styles, key=lambda name: (name != _FIRST, name))
        self.voices = Voices(names, options.voices)
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
        self._known_languages = EspeakBackend.supported_languages()

    def check(self, request: SpeechRequest, voice: str) -> None:
        """Raise InvalidField for a language that espeak-ng does not know."""
        language = self._language(request, voice)
        if language not in self._known_languages:
            known = ", ".join(sorted({*_LANGUAGES.values()}))
            raise InvalidField(
                f"`language`: {language[:64]!r} is unknown. The voices were made for {known}; others may be tried, by "
                "their codes such as `de`.",
                param="language",
            )

    def unread(self, text: str) -> str:  # noqa: ARG002 - every text has phonemes
        """Nothing: espeak-ng reads all that it can, digits too."""
        return ""

    def say(self, sentence: str, voice: str, request: SpeechRequest, seed: int) -> Sound:  # noqa: ARG002
        """Speak one sentence. The model draws its noise itself, so the seed has no effect."""
        phonemes = self._kokoro.tokenizer.phonemize(sentence, self._language(request, voice))
        tokens = len(self._kokoro.tokenizer.tokenize(phonemes, limit=None))
        if not tokens:
            return Sound(np.zeros(0, np.float32), 0, 0)
        samples, _ = self._kokoro.create(phonemes, self._styles[voice], request.speed, is_phonemes=True)
        return Sound(samples.astype(np.float32), tokens, len(samples) // _SAMPLES_PER_FRAME)

    def _language(self, request: SpeechRequest, voice: str) -> str:
        if request.language:
            language = request.language.lower()
            return _SHORT.get(language, language)
        return _LANGUAGES.get(voice[:1], "en-us")


def _styles(folder: Path, spec: ModelSpec) -> Mapping[str, Any]:
    """The voices by their names: a file for each, or all in one file of kokoro-onnx' releases. Raises LoadFailed."""
    files = sorted((folder / "voices").glob("*.bin"))
    styles = {file.stem: np.fromfile(file, np.float32).reshape(_STYLE) for file in files}
    if not styles and (together := next(iter(sorted(folder.glob("voices*.bin"))), None)):
        with np.load(together, allow_pickle=False) as archive:
            styles = {name: archive[name] for name in archive.files}
    if not styles:
        raise LoadFailed(f"{spec.source} has no voices: files such as voices/{_FIRST}.bin, or voices-v1.0.bin.")
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
