"""A scheduler whose workers do what a test says, on a clock that only moves when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.config import ModelSpec, Settings
from contract.status import State
from manager.events import EventLog
from manager.memory.device import GIB, MemoryDevice, Reading, RootProcess, Sample
from manager.memory.footprints import Footprints
from manager.memory.monitor import MemoryMonitor
from manager.models.configured import ConfiguredModels
from manager.processes.launchers import ReportHandler
from manager.processes.lifecycle import Leak, Lifecycle
from manager.scheduling.pool import Pool
from manager.state.model import Capabilities, Model
from manager.state.process import LoadFailure
from manager.state.worker import Worker


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock only moves by `advance`."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__()

    def time(self) -> float:
        return self.now

    def settle(self) -> None:
        """Run until nothing is left to run at this moment."""
        for _ in range(25):
            self.call_soon(self.stop)
            self.run_forever()

    def advance(self, seconds: float) -> None:
        """Move the clock in small steps, so that every timer fires at its own time."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.5)
            self.settle()


@dataclass
class FakeMeter:
    """Devices of given sizes in bytes. A worker holds what `needs` says of its model, from its start to its stop."""

    sizes: dict[str, int]
    needs: dict[str, int]
    used_by_others: int = 0
    holding: dict[str, tuple[str, int]] = field(default_factory=dict)  # worker -> device, bytes

    def devices(self) -> tuple[MemoryDevice, ...]:
        return tuple(
            MemoryDevice(id=name, kind="cpu" if name == "cpu" else "cuda", name=name, total=size, index=index)
            for index, (name, size) in enumerate(self.sizes.items())
        )

    def sample(self, roots: Any) -> Sample:
        used = dict.fromkeys(self.sizes, self.used_by_others)
        for device, size in self.holding.values():
            used[device] += size
        readings = {name: Reading(name, total, used[name]) for name, total in self.sizes.items()}
        return Sample(readings, {worker: {device: size} for worker, (device, size) in self.holding.items()})

    def baseline(self, roots: Any) -> None: ...

    def holders(self, root: RootProcess) -> list[int]:
        return []

    def freed(self, root: RootProcess) -> bool:
        return True


class SynchronousMonitor(MemoryMonitor):
    """Measures without a thread, so that the virtual clock is the only source of time."""

    age = 0.0  # type: ignore[assignment]

    async def sample(self, workers: Iterable[Worker]) -> None:
        workers = list(workers)
        self._sample = self.meter.sample({})
        for worker in workers:
            worker.measured = max(self._sample.workers.get(worker.name, {}).values(), default=worker.measured)


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

    async def responds(self, within: float) -> bool:
        return True

    def log_tail(self, lines: int = 20) -> str:
        return "the last line"


class FakeLifecycle(Lifecycle):
    """Starts and stops end when the test says so: `starts` and `stops` hold their futures, by the worker's name."""

    def __init__(self, meter: FakeMeter) -> None:
        self.meter = meter
        self.starts: dict[str, asyncio.Future[None]] = {}
        self.stops: dict[str, asyncio.Future[None]] = {}
        self.reports: dict[str, ReportHandler] = {}

    async def start(self, worker: Worker, report: ReportHandler) -> None:
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

    async def watch(self, worker: Worker) -> int | None:
        assert worker.process
        return await worker.process.wait()

    async def stop(self, worker: Worker) -> Leak | None:
        if worker.name in self.starts:
            self.starts[worker.name].cancel()
        self.stops[worker.name] = asyncio.get_running_loop().create_future()
        await self.stops[worker.name]
        self.stops.pop(worker.name, None)
        self.meter.holding.pop(worker.name, None)
        if worker.process and not worker.process.ended.done():  # type: ignore[attr-defined]
            worker.process.ended.set_result(0)  # type: ignore[attr-defined]
        return None


class Harness:
    """The pool under test, with control over its clock, its requests and its workers."""

    def __init__(self, home: Path, specs: dict[str, dict[str, Any]], sizes: dict[str, int], **resources: Any) -> None:
        self.loop = VirtualLoop()
        self.requests: list[FakeRequest] = []
        self.quiet_moments: list[float] = []
        needs = {name: int(spec.pop("needs") * GIB) for name, spec in specs.items()}
        self.meter = FakeMeter({name: int(size * GIB) for name, size in sizes.items()}, needs)
        self.settings = Settings.model_validate(
            {"memory": {"safety_margin_gb": 0}, "resources": resources, "manager": {"idle_timeout": 60}}
        )
        footprints = Footprints(home / "footprints.json")
        self.monitor = SynchronousMonitor(self.meter, self.settings.memory, footprints)
        self.lifecycle = FakeLifecycle(self.meter)
        models = {name: model(name, needs[name], spec) for name, spec in specs.items()}
        for name, entry in models.items():
            for device in self.monitor.devices.values():
                key = footprints.key(entry.spec, "float32" if device.kind == "cpu" else "float16", device.name)
                footprints.learn(key, needs[name])
                footprints.learn_loaded(key, needs[name], "")
        self.pool = self.run(self._build_pool(models))
        self.supervisor = self.pool.supervisor
        self.run(self.monitor.sample(()))
        self.call(self.pool.start)

    async def _build_pool(self, models: dict[str, Model]) -> Pool:
        configured = ConfiguredModels(self.settings, models)
        return Pool(configured, self.monitor, self.lifecycle, EventLog(), self._on_quiet)

    def _on_quiet(self) -> None:
        self.quiet_moments.append(self.loop.time())

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def request(self, name: str, **options: Any) -> FakeRequest:
        """A request for the model, as far as it gets at this moment."""
        request = FakeRequest(self, name, options)
        self.requests.append(request)  # the loop holds its tasks only weakly: a dropped one would end halfway
        self.loop.settle()
        return request

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a method of the pool from inside the loop, and let its consequences happen."""

        async def call() -> Any:
            return function(*args)

        result = self.run(call())
        self.loop.settle()
        return result

    def reload(self, models: dict[str, Model], settings: Settings | None = None) -> list[str]:
        """Apply a new configuration. Returns the ids that changed."""
        changed: list[str] = self.call(self.pool.reload, ConfiguredModels(settings or self.settings, models))
        return changed

    def finish_start(self, name: str, failure: LoadFailure | None = None) -> None:
        """A worker's start ends: it is ready, or has failed."""
        future = self.lifecycle.starts[name]
        if failure:
            future.set_exception(failure)
        else:
            future.set_result(None)
        self.loop.settle()

    def finish_stop(self, name: str) -> None:
        """A worker's process has ended and its memory is back."""
        self.lifecycle.stops[name].set_result(None)
        self.loop.settle()

    def crash(self, name: str) -> None:
        self.supervisor.worker(name).process.ended.set_result(-9)  # type: ignore[union-attr]
        self.loop.settle()

    def states(self) -> dict[str, State]:
        """Every worker's state, by its name."""
        return {worker.name: worker.state for worker in self.supervisor.workers}

    def close(self) -> None:
        while tasks := asyncio.all_tasks(self.loop):  # the end of one task may start another
            for task in tasks:
                task.cancel()
            self.loop.settle()
        self.loop.close()


class FakeRequest:
    """A request: waits for a worker and holds it until `finish`. It may `disconnect` at any time."""

    def __init__(self, harness: Harness, model: str, options: dict[str, Any]) -> None:
        self.harness = harness
        self.model = model
        self.worker: str | None = None
        self.error: Exception | None = None
        self._finished: asyncio.Future[None] = harness.loop.create_future()
        self.task = harness.loop.create_task(self._work(options))

    async def _work(self, options: dict[str, Any]) -> None:
        try:
            async with self.harness.pool.lease(self.model, **options) as lease:
                self.worker = lease.worker.name
                await self._finished
        except Exception as error:
            self.error = error

    @property
    def waiting(self) -> bool:
        return self.worker is None and self.error is None and not self.task.done()

    @property
    def in_progress(self) -> bool:
        """Whether it holds a lease."""
        return self.worker is not None and not self.task.done()

    def finish(self) -> None:
        self._finished.set_result(None)
        self.harness.loop.settle()

    def disconnect(self) -> None:
        self.task.cancel()
        self.harness.loop.settle()


def model(name: str, need: int, options: dict[str, Any]) -> Model:
    """A model that needs `need` bytes, by its entry's `memory_gb` as well."""
    entry = {"id": name, "engine": "fake", "source": name, "memory_gb": need / GIB, **options}
    devices = ("cpu",) if options.get("device", "cpu") == "cpu" else ("cuda",)
    return Model(ModelSpec.model_validate(entry), Capabilities(tasks=("chat",), devices=devices))
