"""How a worker's process is started: one interface, `Launcher`, and its implementations.

`local` starts our own workers; `command` starts any OpenAI-compatible server behind a guard. A launcher returns a
process that is running, though its model may still be loading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from contract.config import ModelSpec
from manager.state.process import Placement, Process

ReportHandler = Callable[[dict[str, Any]], None]
"""Takes what a running worker reports: `{"event": "out_of_memory" | "progress" | "activity" | "work", …}`."""


class Launcher(Protocol):
    """Starts processes."""

    async def start(self, spec: ModelSpec, placement: Placement, name: str, report: ReportHandler) -> Process:
        """Start worker `name` (`model#n`), from a standby if there is one. Raises LoadFailure if that fails."""
