"""Writes sentences as the phonemes that Kokoro reads, with espeak-ng."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kokoro_onnx.tokenizer import Tokenizer
from phonemizer.backend import EspeakBackend

from contract.errors import InvalidField
from contract.tasks.speech import SpeechRequest

_LANGUAGES = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br", "z": "cmn",
}  # fmt: skip
"""espeak-ng's language for the first letter of a voice's name."""
_SHORT = {"en": "en-us", "fr": "fr-fr", "pt": "pt-br", "zh": "cmn"}
"""espeak-ng's names of languages for codes that it does not know."""
FIRST = "af_heart"
"""The voice that the model's card grades best: the default one."""


def by_grade(names: Iterable[str]) -> list[str]:
    """The names of voices, the best one first."""
    return sorted(names, key=lambda name: (name != FIRST, name))


class KokoroPhonemes:
    """espeak-ng, for a model's `vocabulary` of phonemes."""

    def __init__(self, vocabulary: Mapping[str, int] | None = None) -> None:
        self._tokenizer = Tokenizer(vocab=None if vocabulary is None else dict(vocabulary))
        self._known_languages = EspeakBackend.supported_languages()

    def check(self, request: SpeechRequest, voice: str) -> None:
        """Raise InvalidField for a language that espeak-ng does not know."""
        language = _language(request, voice)
        if language not in self._known_languages:
            known = ", ".join(sorted({*_LANGUAGES.values()}))
            raise InvalidField(
                f"`language`: {language[:64]!r} is unknown. The voices were made for {known}; others may be tried, by "
                "their codes such as `de`.",
                param="language",
            )

    def write(self, sentence: str, voice: str, request: SpeechRequest) -> str:
        """The phonemes of a sentence that the model knows, each of which is one token."""
        phonemes: str = self._tokenizer.phonemize(sentence, _language(request, voice))
        return " ".join(phonemes.split())


def _language(request: SpeechRequest, voice: str) -> str:
    if request.language:
        language = request.language.lower()
        return _SHORT.get(language, language)
    return _LANGUAGES.get(voice[:1], "en-us")
