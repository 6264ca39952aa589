"""The voices of a model, by the names under which clients ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contract.errors import InvalidField, LoadFailed

OPENAI = frozenset(
    {"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"}
)
"""OpenAI's voices, which many applications send by default (platform.openai.com/docs/guides/text-to-speech)."""
DEFAULT = "default"
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Voices:
    """A model's own `names`, of which the first is its default, and an entry's `aliases` for them."""

    names: Sequence[str]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for alias, name in self.aliases.items():
            if name not in self.names:
                raise LoadFailed(f"`options.voices`: the model has no voice {name!r} for {alias!r}. {self._sentence()}")

    @property
    def all_names(self) -> list[str]:
        """Every name that a request may send."""
        return list(dict.fromkeys((*self.names, *self.aliases)))

    def find(self, wanted: str | None) -> tuple[str, str | None]:
        """The voice for a request, and a warning if it is another one than the client may expect.

        Raises InvalidField for a voice that the model does not have.
        """
        default = self.aliases.get(DEFAULT, self.names[0])
        if not wanted or wanted == DEFAULT:
            return default, None
        if wanted in self.aliases:
            return self.aliases[wanted], None
        if wanted in self.names:
            return wanted, None
        if wanted.lower() not in OPENAI:
            raise InvalidField(f"`voice`: the model has no voice {wanted[:64]!r}. {self._sentence()}", param="voice")
        similar = [name for name in self.names if name.endswith(f"_{wanted.lower()}")]  # Kokoro's `af_alloy`
        if similar:
            return similar[0], None
        return default, (
            f"The model has no voice `{wanted}`, which is one of OpenAI's: its default voice, `{default}`, reads the "
            "text. `options.voices` of the model's entry may name another one."
        )

    def _sentence(self) -> str:
        names = self.all_names
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"Its voices: {', '.join(names[:_SHOWN])}{more}."
