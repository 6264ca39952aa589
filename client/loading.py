"""Follows a model's start through the server's events, for `load` with a progress callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from client.calls.system import ServerEvent


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far a start is: the worker's state, and the bytes that are loaded of the total, if they are known."""

    model: str
    state: str
    bytes: int | None = None
    total: int | None = None


OnProgress = Callable[[LoadProgress], None]


class LoadReport:
    """Tells a callback of one model's start."""

    def __init__(self, model: str, on_progress: OnProgress) -> None:
        self._model = model
        self._on_progress = on_progress
        self._state = "stopped"

    def take(self, event: ServerEvent) -> None:
        """Report an event if it is about this model."""
        if event.model != self._model:
            return
        if event.type == "state":
            self._state = event.to or self._state
            self._on_progress(LoadProgress(self._model, self._state))
        elif event.type == "progress":
            self._on_progress(LoadProgress(self._model, self._state, event.bytes, event.total))

    def finish(self) -> None:
        """Report that the model is ready, if its event has not arrived yet."""
        if self._state != "ready":
            self._on_progress(LoadProgress(self._model, "ready"))
