"""How much a model thinks before it answers: the fields of several APIs, as one effort."""

from __future__ import annotations

from typing import Any

from contract.limits import Name
from contract.tasks.chat.open_model import OpenModel

_DEFAULT_EFFORT = "medium"


class ReasoningOptions(OpenModel):
    """OpenRouter's `reasoning`."""

    effort: Name | None = None
    enabled: bool | None = None
    max_tokens: int | None = None


class ThinkingOptions(OpenModel):
    """LiteLLM's `thinking`, which is Anthropic's: `enabled`, `adaptive` or `disabled`."""

    type: Name


def effort_of(value: Any) -> str | None:
    """The effort that the value of a field asks for, such as `low`; `none` for no thinking, None if it asks nothing."""
    if isinstance(value, ReasoningOptions):
        return value.effort if value.enabled is None else effort_of(value.enabled and (value.effort or True))
    if isinstance(value, ThinkingOptions):
        return effort_of(value.type != "disabled")
    if isinstance(value, bool):
        return _DEFAULT_EFFORT if value else "none"
    return value or None
