"""A pool over workers that do what a test says, in a time that passes when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.config import ModelSpec, Settings
from contract.status import State
from manager.events import EventLog
from manager.memory import GIB, MemoryDevice, Reading, Sample
from manager.memory.footprints import Footprints
from manager.memory.monitor import MemoryMonitor
from manager.processes.launchers import LoadFailure
from manager.processes.lifecycle import Leak, Lifecycle
from manager.processes.supervisor import Supervisor
from manager.scheduling.pool import Pool
from manager.state.model import EngineOffer, Model
from manager.state.worker import Worker


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still until `advance`."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__()

    def time(self) -> float:
        return self.now

    def settle(self) -> None:
        """Run until nothing is left that could run now."""
        for _ in range(25):
            self.call_soon(self.stop)
            self.run_forever()

    def advance(self, seconds: float) -> None:
        """Let time pass, in steps, so that each timer sees its own moment."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.5)
            self.settle()


@dataclass
class FakeMeter:
    """Devices of given sizes; a worker measures what its model was said to need."""

    sizes: dict[str, int]
    needs: dict[str, int]
    foreign: int = 0
    holding: dict[str, tuple[str, int]] = field(default_factory=dict)  # worker -> device, bytes

    def devices(self) -> tuple[MemoryDevice, ...]:
        return tuple(
            MemoryDevice(id=name, kind="cpu" if name == "cpu" else "cuda", name=name, total=size, index=index)
            for index, (name, size) in enumerate(self.sizes.items())
        )

    def sample(self, roots: Any) -> Sample:
        used = dict.fromkeys(self.sizes, self.foreign)
        for device, size in self.holding.values():
            used[device] += size
        readings = {name: Reading(name, total, used[name]) for name, total in self.sizes.items()}
        return Sample(readings, {worker: {device: size} for worker, (device, size) in self.holding.items()})

    def baseline(self, roots: Any) -> None: ...

    def holds(self, root: Any, devices: tuple[str, ...]) -> list[int]:
        return []

    def freed(self, root: Any, devices: tuple[str, ...]) -> bool:
        return True


class StillGauge(MemoryMonitor):
    """Reads in place of in a thread, so that a test's time is the only one."""

    age = 0.0  # type: ignore[assignment]

    async def sample(self, workers: Iterable[Worker]) -> None:
        workers = list(workers)
        self._last = self.meter.sample({})
        for worker in workers:
            worker.measured = max(self._last.workers.get(worker.name, {}).values(), default=worker.measured)


@dataclass(eq=False)
class FakeProcess:
    pid: int = 1
    uuid: str = "fake"
    url: str = "http://127.0.0.1:1"
    token: str = ""
    from_standby: bool = False
    log_path: Path = Path("/dev/null")
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def ready(self) -> None: ...

    async def wait(self) -> int:
        return await asyncio.shield(self.ended)

    async def stop(self, grace: float) -> None: ...

    def log_tail(self, lines: int = 20) -> str:
        return "the last line"


class FakeLife(Lifecycle):
    """Starts end when a test says so, and so do stops."""

    def __init__(self, meter: FakeMeter) -> None:
        self.meter = meter
        self.starts: dict[str, asyncio.Future[None]] = {}
        self.stops: dict[str, asyncio.Future[None]] = {}
        self.reports: dict[str, Callable[[dict[str, Any]], None]] = {}

    async def bring_up(self, worker: Worker, report: Callable[[dict[str, Any]], None]) -> None:
        loop = asyncio.get_running_loop()
        worker.process = FakeProcess()  # type: ignore[assignment]
        self.reports[worker.name] = report
        self.starts[worker.name] = loop.create_future()
        self.meter.holding[worker.name] = (worker.placement.devices[0], self.meter.needs[worker.model])
        try:
            await self.starts[worker.name]
        except LoadFailure as failure:
            worker.process.ended.set_result(failure.exit_code or 0)  # type: ignore[attr-defined]
            raise
        finally:
            del self.starts[worker.name]

    async def take_down(self, worker: Worker) -> Leak | None:
        if worker.name in self.starts:
            self.starts[worker.name].cancel()
        self.stops[worker.name] = asyncio.get_running_loop().create_future()
        await self.stops[worker.name]
        self.stops.pop(worker.name, None)
        self.meter.holding.pop(worker.name, None)
        if worker.process and not worker.process.ended.done():  # type: ignore[attr-defined]
            worker.process.ended.set_result(0)  # type: ignore[attr-defined]
        return None


class Bench:
    """The pool under test and the hands on its workers."""

    def __init__(self, home: Path, specs: dict[str, dict[str, Any]], sizes: dict[str, int], **resources: Any) -> None:
        self.loop = VirtualLoop()
        self.asks: list[Ask] = []
        needs = {name: int(spec.pop("needs") * GIB) for name, spec in specs.items()}
        self.meter = FakeMeter({name: int(size * GIB) for name, size in sizes.items()}, needs)
        self.settings = Settings.model_validate(
            {"memory": {"safety_margin_gb": 0}, "resources": resources, "manager": {"idle_timeout": 60}}
        )
        footprints = Footprints(home / "footprints.json")
        self.gauge = StillGauge(self.meter, self.settings.memory, footprints)
        self.life = FakeLife(self.meter)
        self.events = self.run(self._events())
        self.roster = Supervisor(self.life, self.gauge, self.events)
        models = {name: model(name, needs[name], spec) for name, spec in specs.items()}
        for name, made in models.items():
            for device in self.gauge.devices.values():
                key = footprints.key(made.spec, "float32" if device.kind == "cpu" else "float16", device.name)
                footprints.learn(key, needs[name])
        self.pool = Pool(self.settings, models, self.gauge, self.roster, self.events)
        self.run(self.gauge.sample(()))
        self.pool.start = self.in_loop(self.pool.start)  # type: ignore[method-assign]
        self.loop.call_soon(Pool.start, self.pool)
        self.loop.settle()

    async def _events(self) -> EventLog:
        return EventLog()

    def in_loop(self, function: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            self.loop.call_soon(function)

        return call

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def ask(self, name: str, **options: Any) -> Ask:
        ask = Ask(self, name, options)
        self.asks.append(ask)  # a loop holds its tasks weakly: one that a test lets go would leave in the middle
        self.loop.settle()
        return ask

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call something of the pool's from inside the loop, and let what follows happen."""

        async def call() -> Any:
            return function(*args)

        result = self.run(call())
        self.loop.settle()
        return result

    def started(self, name: str, failure: LoadFailure | None = None) -> None:
        """A start comes to its end: ready, or failed."""
        future = self.life.starts[name]
        if failure:
            future.set_exception(failure)
        else:
            future.set_result(None)
        self.loop.settle()

    def stopped(self, name: str) -> None:
        self.life.stops[name].set_result(None)
        self.loop.settle()

    def crash(self, name: str) -> None:
        self.roster.named(name).process.ended.set_result(-9)  # type: ignore[union-attr]
        self.loop.settle()

    def states(self) -> dict[str, State]:
        return {worker.name: worker.state for worker in self.roster.workers}

    def close(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.settle()
        self.loop.close()


class Ask:
    """A request: waits for its worker, holds it until `finish`, and can `leave` at any time."""

    def __init__(self, bench: Bench, model: str, options: dict[str, Any]) -> None:
        self.bench = bench
        self.model = model
        self.worker: str | None = None
        self.error: Exception | None = None
        self._finished: asyncio.Future[None] = bench.loop.create_future()
        self.task = bench.loop.create_task(self._work(options))

    async def _work(self, options: dict[str, Any]) -> None:
        try:
            async with self.bench.pool.lease(self.model, **options) as lease:
                self.worker = lease.worker.name
                await self._finished
        except Exception as error:
            self.error = error

    @property
    def waits(self) -> bool:
        return self.worker is None and self.error is None and not self.task.done()

    @property
    def holds(self) -> bool:
        return self.worker is not None and not self.task.done()

    def finish(self) -> None:
        self._finished.set_result(None)
        self.bench.loop.settle()

    def leave(self) -> None:
        self.task.cancel()
        self.bench.loop.settle()


def model(name: str, need: int, options: dict[str, Any]) -> Model:
    """A model on the first kind of device; `need` in bytes is its guess as well."""
    entry = {"id": name, "engine": "fake", "source": name, "memory_gb": need / GIB, **options}
    devices = ("cpu",) if options.get("device", "cpu") == "cpu" else ("cuda",)
    return Model(ModelSpec.model_validate(entry), EngineOffer(tasks=("chat",), devices=devices))
