"""One worker: its process, its counters, and the state machine that says which changes of state are legal."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from contract.config import ModelSpec
from contract.history import ColdStart
from contract.status import LOADED, EngineActivity, State, WorkerStatus
from manager.state.process import Placement, Process

TRANSITIONS: dict[State, frozenset[State]] = {
    State.STOPPED: frozenset({State.STARTING}),
    State.STARTING: frozenset({State.READY, State.STOPPING}),
    State.READY: frozenset({State.DRAINING, State.STOPPING}),
    State.DRAINING: frozenset({State.READY, State.STOPPING}),
    State.STOPPING: frozenset({State.STOPPED, State.BACKOFF}),
    State.BACKOFF: frozenset(),
}
"""Every legal transition. An ended worker is never reused: the model's next worker gets a new number."""

LIVE = frozenset({State.STARTING, State.READY, State.DRAINING, State.STOPPING})
STOPPABLE = LIVE - {State.STOPPING}


class IllegalTransition(Exception):
    """A transition that the table does not have: a bug in the scheduler."""


@dataclass(eq=False)
class Worker:
    """`model#number`. Only the scheduler changes it. Memory in bytes, times in seconds on the event loop's clock."""

    model: str
    number: int
    spec: ModelSpec
    placement: Placement
    expected: int  # the footprint that it was started with, or has been seen to need since
    default_idle_timeout: float  # the configuration's, where neither the entry nor a request says otherwise
    pinned: bool = False  # neither idleness nor other models end it
    state: State = State.STOPPED
    process: Process | None = None
    launched: asyncio.Event = field(default_factory=asyncio.Event)  # set once there is a process, or there will be none
    retired: asyncio.Event = field(default_factory=asyncio.Event)  # set once no more requests get it
    leases: int = 0
    job_leases: int = 0  # of them, those of jobs
    served: int = 0
    started: float = 0.0
    ready_at: float | None = None
    phases: dict[str, float] = field(default_factory=dict)  # of its start, in seconds: see `ColdStart`
    last_used: float = 0.0
    guarded_until: float = float("-inf")  # until then, its last use by a request that is no job's keeps jobs away
    measured: int = 0
    cache_bytes: dict[str, int] = field(default_factory=dict)  # part of `measured`, by what it is kept for
    loaded_bytes: int = 0  # the least that it held since it was ready; 0: not measured yet
    unconfirmed_peak: int = 0  # the most that it held during requests none of which has succeeded yet
    confirmed_peak: int = 0  # the most that it held while idle, or for a request that succeeded
    failed_lately: bool = False  # whether a request has failed since it was last idle
    residue: int = 0  # what it still holds of requests that failed
    measured_jointly: bool = False  # `measured` is an equal share of what several workers hold together
    keep_alive: float | None = None  # what the request that ended last asked for
    resumable: bool = False
    draining_since: float = 0.0
    activity: EngineActivity | None = None  # what its engine's thread does, as it has reported last
    abandoned_since: float | None = None  # since when it works on what no client waits for
    cut_short: bool = False  # it is ended at once, whatever it works on
    hung: bool = False  # it is ended because it showed no sign of life
    reason: str = ""
    log_tail: str = ""
    exit_code: int | None = None
    started_at: float = field(default_factory=time.time)  # wall-clock time, for the status page

    @property
    def name(self) -> str:
        return f"{self.model}#{self.number}"

    @property
    def committed(self) -> int:
        """Bytes set aside for it: what it holds, or is expected to grow to."""
        return max(self.expected, self.measured)

    @property
    def live(self) -> bool:
        """Whether it has, or may have, a process."""
        return self.state in LIVE

    @property
    def stoppable(self) -> bool:
        """Whether it can be stopped: it is running and not stopping yet."""
        return self.state in STOPPABLE

    @property
    def idle_timeout(self) -> float:
        """Seconds that it may be idle; negative: for ever."""
        if self.keep_alive is not None:
            return self.keep_alive
        return self.default_idle_timeout if self.spec.idle_timeout is None else self.spec.idle_timeout

    @property
    def expires(self) -> float | None:
        """When its idle timeout ends; None: never."""
        if self.idle_timeout < 0 or (self.pinned and self.idle_timeout > 0):
            return None
        return self.last_used + self.idle_timeout

    def begin_lease(self, now: float, *, job: bool) -> None:
        """Note that a request begins; `job`: it is one's."""
        self.leases += 1
        self.job_leases += job
        self.last_used = now

    def end_lease(self, now: float, keep_alive: float | None, *, job: bool) -> None:
        """Note that a request has ended, after which the worker may be idle for `keep_alive`. Only others guard it."""
        self.keep_alive = keep_alive  # it holds for the time after this request, not after later ones
        self.leases -= 1
        self.job_leases -= job
        self.served += 1
        self.last_used = now
        if not job:
            self.guarded_until = now + self.idle_timeout if self.idle_timeout >= 0 else float("inf")

    def note_activity(self, activity: EngineActivity, now: float) -> None:
        """Note what its engine's thread does from now on."""
        if activity != self.activity:
            self.activity = activity
            self.abandoned_since = now if activity == "abandoned" else None

    def overdue(self, now: float) -> bool:
        """Whether it has worked for too long on what no client waits for."""
        return self.abandoned_since is not None and now - self.abandoned_since >= self.spec.abandoned_timeout

    def why_hung(self, now: float) -> str:
        """Why it counts as hung."""
        if self.overdue(now):
            return f"worked for {self.spec.abandoned_timeout:g} s on what no client waits for any more"
        return f"hung: no sign of life for {self.spec.hang_timeout:g} s"

    def move_to(self, state: State) -> State:
        """Change the state. Returns the previous one. Raises IllegalTransition."""
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"{self.name}: {self.state} → {state}")
        previous, self.state = self.state, state
        if previous in LOADED and state not in LOADED:
            self.retired.set()
        return previous

    def cold_start(self, seconds: float, error: str | None = None) -> ColdStart:
        """Its start, which has ended after so many seconds, as the history keeps it."""
        return ColdStart(
            time=time.time(),
            model=self.model,
            worker=self.name,
            seconds=round(seconds, 3),
            phases={name: round(span, 3) for name, span in self.phases.items()},
            from_standby=bool(self.process and self.process.from_standby),
            error=error,
        )

    def status(self, now: float) -> WorkerStatus:
        """The worker as the status page shows it."""
        idle = now - self.last_used if self.state is State.READY and not self.leases else None
        since = self.last_used if self.leases else now  # a request that runs now counts as one that ends now
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
            engine=self.activity,
            cache_bytes=self.cache_bytes,
            started_at=self.started_at,
            ready_after=None if self.ready_at is None else round(self.ready_at - self.started, 3),
            from_standby=bool(self.process and self.process.from_standby),
            idle_for=None if idle is None else round(idle, 1),
            expires_in=None if idle is None or self.expires is None else round(self.expires - now, 1),
            expires_at=None if self.expires is None else time.time() + self.expires - since,
        )
