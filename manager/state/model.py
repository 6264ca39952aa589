"""One configured model: its entry, what its engine says of it, and how its starts have gone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

from contract.config import ModelSpec
from contract.errors import LoadFailed
from contract.status import Failure, ModelStatus, State

FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0
SUDDEN_DEATHS = 3
"""Starts that may end by a signal, without a word from the worker, before the model backs off."""


@dataclass(frozen=True, slots=True)
class EngineOffer:
    """What an engine says of an entry, as `workers.describe` prints it."""

    tasks: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)


@dataclass(eq=False)
class Model:
    """Mutable part of a model: what its engine offers, and its failures. Only the pool changes it."""

    spec: ModelSpec
    offer: EngineOffer
    created: int = field(default_factory=lambda: int(time.time()))
    failures: int = 0
    sudden: int = 0
    out_of_memory: int = 0
    retry_at: float | None = None
    failure: Failure | None = None

    @property
    def id(self) -> str:
        return self.spec.id

    def failed(self, failure: Failure, now: float) -> float:
        """Back off: 1 s, 2 s, 4 s … 5 min. Returns the delay in seconds."""
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0**self.failures)
        self.failures += 1
        self.sudden = 0
        self.retry_at = now + delay
        self.failure = failure.model_copy(update={"retry_at": time.time() + delay})
        return delay

    def succeeded(self) -> None:
        """A worker is ready: past failures no longer count."""
        self.failures = self.sudden = self.out_of_memory = 0
        self.retry_at = None

    def refusal(self, now: float) -> LoadFailed:
        """What a request gets while the model backs off: why, and when it will be tried again."""
        wait = max(0.0, (self.retry_at or now) - now)
        details: dict[str, Any] = {"model": self.id, "retry_after": round(wait, 3)}
        reason = "it did not start"
        if self.failure:
            reason = self.failure.reason
            details |= {"exit_code": self.failure.exit_code, "log_tail": self.failure.log_tail}
        message = f"{self.id} could not be loaded: {reason} It will be tried again in {max(1, round(wait))} s."
        return LoadFailed(message, details=details, retry_after=wait)

    def status(self, state: State, waiting: int, max_wait: float, footprint: tuple[int, bool]) -> ModelStatus:
        """What `GET /models` and the status page show. `footprint`: bytes, and whether they were learned."""
        spec = self.spec
        return ModelStatus(
            id=spec.id,
            engine=spec.engine,
            tasks=self.offer.tasks,
            aliases=spec.aliases,
            default=tuple(task for task in spec.default if task in self.offer.tasks),
            features=self.offer.features,
            defaults=spec.defaults,
            passthrough=spec.options.get("model_name") if spec.engine == "command" else None,
            source=spec.source,
            created=self.created,
            max_wait=max_wait,
            state=state,
            waiting=waiting,
            footprint_bytes=footprint[0],
            footprint_learned=footprint[1],
            failure=self.failure,
        )


def merged(old: dict[str, Model], new: dict[str, Model]) -> dict[str, Model]:
    """The models of a new configuration; one whose entry did not change stays what it was, with all that it learned."""
    for id_ in old.keys() & new.keys():
        # What its engine could do was said before; what the loaded model can do, only a worker tells.
        said = old[id_].offer
        old[id_].offer = replace(new[id_].offer, features=said.features, tasks=said.tasks)
    return {id_: old[id_] if id_ in old and old[id_].spec == model.spec else model for id_, model in new.items()}
