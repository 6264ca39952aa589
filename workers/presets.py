"""Presets of an entry: other names for its model, each with a system message and defaults of its own."""

from __future__ import annotations

from collections.abc import Collection, Container
from typing import Any

from contract.config import ConfigError, ModelSpec
from contract.config.models import Preset
from contract.tasks import Request, Task
from contract.tasks.chat import ChatRequest
from contract.tasks.chat.messages import Message
from contract.tasks.tokenize import TokenizeRequest
from workers import defaults

_SYSTEM_ROLES = {"system", "developer"}


def defaults_by_name(spec: ModelSpec, task: Task[Any, Any]) -> dict[str | None, dict[str, Any]]:
    """The fields that fill requests for a task, by preset; None: without one. A preset's come before its entry's."""
    fields: dict[str | None, dict[str, Any]] = {None: spec.defaults}
    for name, preset in spec.presets.items():
        fields[name] = {**spec.defaults, **preset.defaults}
    return {name: defaults.for_task(task, values) for name, values in fields.items()}


def apply_system(request: Request, preset: Preset | None) -> None:
    """Put the preset's system message in front of a chat that has none of its own."""
    messages = request.messages if isinstance(request, ChatRequest | TokenizeRequest) else None
    if not (preset and preset.system and messages):
        return
    if not any(message.role in _SYSTEM_ROLES for message in messages):
        messages.insert(0, Message(role="system", content=preset.system))


def check(spec: ModelSpec, tasks: Collection[str], accepting: list[Task[Any, Any]], features: Container[str]) -> None:
    """Raises ConfigError when a preset has a default that no task takes, or a system message without chat."""
    for name, preset in spec.presets.items():
        try:
            defaults.check(accepting, preset.defaults, features)
        except ConfigError as error:
            raise ConfigError(f"presets.{name}: {error}") from None
        if preset.system and "chat" not in tasks:
            raise ConfigError(f"presets.{name}: `system` is for chat, which the model does not do; leave it out")
