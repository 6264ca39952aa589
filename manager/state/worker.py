"""One worker: its process and the state machine that says what may happen to it next."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from contract.config import ModelSpec
from contract.status import State, WorkerStatus
from manager.processes.launchers import Placement, Process
from manager.scheduling.plan import LIVE, WorkerView

LEGAL: dict[State, frozenset[State]] = {
    State.STOPPED: frozenset({State.STARTING}),
    State.STARTING: frozenset({State.READY, State.STOPPING}),
    State.READY: frozenset({State.DRAINING, State.STOPPING}),
    State.DRAINING: frozenset({State.READY, State.STOPPING}),
    State.STOPPING: frozenset({State.STOPPED, State.BACKOFF}),
    State.BACKOFF: frozenset(),
}
"""Every move that there is. A worker that has ended is never used again: its model's next one has another number."""


class IllegalMove(Exception):
    """A move that the table does not have: a bug in the pool."""


@dataclass(eq=False)
class Worker:
    """`model#n`. Only the pool changes it. Memory in bytes, times in seconds of the pool's clock."""

    model: str
    number: int
    spec: ModelSpec
    placement: Placement
    expected: int
    default_timeout: float  # of the house, where neither the entry nor a request says otherwise
    state: State = State.STOPPED
    process: Process | None = None
    birth: asyncio.Event = field(default_factory=asyncio.Event)  # set once there is a process, or there will be none
    leases: int = 0
    served: int = 0
    born: float = 0.0
    ready_at: float | None = None
    last_used: float = 0.0
    measured: int = 0
    keep_alive: float | None = None  # the last one that a request has asked for
    resumable: bool = False
    shares: bool = False  # what was measured is a share of several workers' memory
    reason: str = ""
    log_tail: str = ""
    exit_code: int | None = None
    born_wall: float = field(default_factory=time.time)

    @property
    def name(self) -> str:
        return f"{self.model}#{self.number}"

    @property
    def held(self) -> int:
        """Bytes that it holds, or will have grown to."""
        return max(self.expected, self.measured)

    @property
    def live(self) -> bool:
        """Whether it has, or may have, a process."""
        return self.state in LIVE

    @property
    def idle_timeout(self) -> float:
        """How long it may be idle, in seconds; negative: for ever."""
        if self.keep_alive is not None:
            return self.keep_alive
        return self.default_timeout if self.spec.idle_timeout is None else self.spec.idle_timeout

    @property
    def expires(self) -> float | None:
        """When its idle time is over; None: never."""
        if self.idle_timeout < 0 or (self.spec.pinned and self.idle_timeout > 0):
            return None
        return self.last_used + self.idle_timeout

    def move(self, to: State) -> State:
        """Change state. Returns the one that it was in. Raises IllegalMove."""
        if to not in LEGAL[self.state]:
            raise IllegalMove(f"{self.name}: {self.state} → {to}")
        was, self.state = self.state, to
        return was

    def view(self) -> WorkerView:
        """The worker as the plan sees it."""
        return WorkerView(
            name=self.name,
            model=self.model,
            state=self.state,
            leases=self.leases,
            devices=self.placement.devices,
            held=self.held,
            last_used=self.last_used,
            started=self.born,
            evictable=not self.spec.pinned,
            resumable=self.resumable,
            expires=self.expires,
        )

    def status(self, now: float) -> WorkerStatus:
        """What the status page shows."""
        idle = now - self.last_used if self.state is State.READY and not self.leases else None
        return WorkerStatus(
            worker=self.name,
            model=self.model,
            state=self.state,
            pid=self.process.pid if self.process else None,
            url=self.process.url if self.process else None,
            devices=self.placement.devices,
            leases=self.leases,
            served=self.served,
            memory_bytes=self.measured,
            started_at=self.born_wall,
            ready_after=None if self.ready_at is None else round(self.ready_at - self.born, 3),
            from_standby=bool(self.process and self.process.from_standby),
            idle_for=None if idle is None else round(idle, 1),
            expires_in=None if idle is None or self.expires is None else round(self.expires - now, 1),
        )
