"""A call's prompt and the choices that answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from workers.engine import Call
from workers.engines.transformers_chat.prompt_row import PromptRow
from workers.toolkit.chat.answer import ChatChoice
from workers.toolkit.chat.logprobs import PickedToken


@dataclass(frozen=True, eq=False)
class ChatPrompt:
    """A prompt, which is read once for all of its choices."""

    call: Call[Any]
    row: PromptRow
    choices: Sequence[ChatChoice]
    failed: bool = False
    """Whether reading it together with other prompts failed; it is read alone the next time."""

    @property
    def unfinished(self) -> list[ChatChoice]:
        """The choices that are not finished or cancelled."""
        return [choice for choice in self.choices if not choice.is_finished]

    @property
    def is_ready(self) -> bool:
        """Whether the first tokens of its choices can be picked as soon as it is read."""
        return all(choice.is_ready for choice in self.choices)

    def note_read(self, cached: int, picked: Sequence[PickedToken]) -> None:
        """Note how many of its tokens were cached, and its tokens after the first if they are reported."""
        self.choices[0].answer.note_cached(self.choices[0], cached)
        for choice in self.choices:
            if choice.echo is not None:
                choice.echo.picked = picked

    def with_choices(self, choices: Sequence[ChatChoice]) -> ChatPrompt:
        """A copy with only these choices."""
        return replace(self, choices=choices)
