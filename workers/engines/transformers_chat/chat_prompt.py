"""A call's prompt and the choices that are to answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from contract.tasks.chat import ChatRequest
from workers.engine import Call
from workers.engines.transformers_chat.prompt_row import PromptRow
from workers.toolkit.chat.answer import ChatChoice


@dataclass(frozen=True, eq=False)
class ChatPrompt:
    """A row to be read, once for all of its choices."""

    call: Call[ChatRequest]
    row: PromptRow
    choices: Sequence[ChatChoice]
    failed: bool = False
    """Whether it failed when it was read together with others: it is read alone the next time."""

    @property
    def living(self) -> list[ChatChoice]:
        """The choices that somebody waits for."""
        return [choice for choice in self.choices if not choice.is_over]

    def only(self, choices: Sequence[ChatChoice]) -> ChatPrompt:
        """For these of its choices."""
        return replace(self, choices=choices)

    def without(self, choices: Sequence[ChatChoice]) -> ChatPrompt:
        """For the other ones."""
        return self.only([choice for choice in self.choices if choice not in choices])
