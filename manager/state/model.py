"""One configured model: its entry, what its engine can do with it, and how its recent starts went."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from contract import catalogue
from contract.config import ModelSpec
from contract.errors import LoadFailed, OutOfMemory
from contract.status import Failure, ModelFacts, ModelFileStatus, ModelStatus, State

FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0
MAX_KILLED_STARTS = 3
"""Starts in a row that a signal may end, with no report from the worker, before the model backs off."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine says of an entry, as `workers.describe` prints it. `imports`: what a standby imports for it.

    `early_standby`: whether a standby starts before the first request for a model of the engine.
    """

    tasks: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    needs_source: bool = True
    early_standby: bool = True


@dataclass(eq=False)
class Model:
    """A model's entry with its changing part: capabilities and failures. Only the scheduler changes it."""

    spec: ModelSpec
    capabilities: Capabilities
    created: int = field(default_factory=lambda: int(time.time()))
    failures: int = 0
    killed_starts: int = 0
    out_of_memory_starts: int = 0
    retry_at: float | None = None
    failure: Failure | None = None
    load_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=3))  # of its last starts
    joins: str | None = None  # as its last worker has said it
    facts: ModelFacts = field(default_factory=ModelFacts)
    file: ModelFileStatus | None = None  # if it is a single file
    scanned: bool = False  # it was found in a folder, and has no entry in the configuration
    pin: bool | None = None  # what was asked for at run time, before what its entry says

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def pinned(self) -> bool:
        """Whether its workers stay: neither idleness nor other models end them."""
        return self.spec.pinned if self.pin is None else self.pin

    def back_off(self, failure: Failure, now: float) -> float:
        """Note a failed start and allow no other for 1 s, 2 s, 4 s … 5 min. Returns the delay in seconds."""
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0**self.failures)
        self.failures += 1
        self.killed_starts = 0
        self.retry_at = now + delay
        self.failure = failure.model_copy(update={"retry_at": time.time() + delay})
        return delay

    def reset_backoff(self) -> None:
        """A worker became ready: earlier failures no longer count."""
        self.failures = self.killed_starts = self.out_of_memory_starts = 0
        self.retry_at = None

    def load_error(self, now: float, *, debug: bool = False) -> LoadFailed | OutOfMemory:
        """The error for a request while the model backs off: why it failed, and when it is tried again.

        With `debug`, the details have the end of the log, tracebacks included; without, its last line.
        """
        wait = max(0.0, (self.retry_at or now) - now)
        failure = self.failure or Failure(time=time.time(), reason="it did not start.")
        log_tail = failure.log_tail if debug else failure.log_tail.rstrip().rpartition("\n")[2]
        details: dict[str, Any] = {"model": self.id, "exit_code": failure.exit_code, "log_tail": log_tail}
        message = f"{self.id} could not be loaded: {failure.reason}"
        if failure.permanent:
            return LoadFailed(message, details={**details, "permanent": True})
        message += f" The next attempt is in {max(1, round(wait))} s."
        details["retry_after"] = round(wait, 3)
        if failure.out_of_memory:
            advice = "Free memory, or choose a smaller or quantised model."
            return OutOfMemory(f"{message} {advice}", details=details, retry_after=wait)
        return LoadFailed(message, details=details, retry_after=wait)

    def status(
        self, state: State, waiting: int, max_wait: float, footprint: tuple[int, bool], weights_bytes: int
    ) -> ModelStatus:
        """The model as `GET /models` and the status page show it. `footprint`: bytes, and whether measured."""
        spec = self.spec
        return ModelStatus(
            id=spec.id,
            engine=spec.engine,
            tasks=self.capabilities.tasks,
            aliases=spec.aliases,
            presets=tuple(spec.presets),
            default=tuple(task for task in spec.default if task in self.capabilities.tasks),
            features=self.capabilities.features,
            defaults=spec.defaults,
            normalize_images=bool(spec.is_external and spec.options.get("normalize_images")),
            passthrough=spec.options.get("model_name") if spec.is_external else None,
            source=spec.source,
            created=self.created,
            max_wait=max_wait,
            state=state,
            waiting=waiting,
            facts=self.facts,
            weights_bytes=weights_bytes or None,
            footprint_bytes=footprint[0],
            footprint_learned=footprint[1],
            failure=self.failure,
            joins=self.joins,
            needs=catalogue.missing_consent(spec),
            file=self.file,
            scanned=self.scanned,
            pinned=self.pinned,
        )


def merge_models(old: dict[str, Model], new: dict[str, Model]) -> dict[str, Model]:
    """The models of a new configuration. One whose entry did not change stays the same object, with all its state."""
    for id_ in old.keys() & new.keys():
        # The new description is the engine's general one; only a loaded model knows exactly what it can do.
        known = old[id_].capabilities
        old[id_].capabilities = replace(new[id_].capabilities, features=known.features, tasks=known.tasks)
        new[id_].pin = old[id_].pin
    return {id_: old[id_] if id_ in old and old[id_].spec == model.spec else model for id_, model in new.items()}
