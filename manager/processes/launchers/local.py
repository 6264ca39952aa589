"""Starts our own workers: born with a listening socket and no model, told their model by one line on stdin."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from contract.asgi.serve import listen
from contract.config import ModelSpec
from manager.processes.children import ChildRegistry
from manager.processes.launchers import LoadFailure, Placement, ReportHandler
from manager.processes.launchers.child import Child
from manager.processes.launchers.logs import Logs
from manager.processes.launchers.standby import StandbyKey, Standbys

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[3]
"""Where the package `workers` lies: a checkout, or the folder of installed packages."""

LAST_WORDS = 0.5
"""Seconds after a worker's end in which its last report is waited for; a grandchild may hold the pipe open."""

LONGEST_REPORT = 1 << 20


class LocalProcess(Child):
    """One of our workers, from its birth on."""

    def __init__(self, children: ChildRegistry, logs: Logs) -> None:
        super().__init__(children, "standby")
        self.log = logs.of_standby(self.uuid)
        self.log_path = self.log.path
        self.features: list[str] | None = None
        self.tasks: list[str] | None = None
        self.born = asyncio.Event()
        self._logs = logs
        self._settled: asyncio.Future[LoadFailure | None] = asyncio.get_running_loop().create_future()
        self._report: ReportHandler = lambda _: None
        self._listening: asyncio.Task[None]

    @classmethod
    async def bear(
        cls, key: StandbyKey, children: ChildRegistry, logs: Logs, environ: Mapping[str, str]
    ) -> LocalProcess:
        """A worker without a model. Raises LoadFailure when its interpreter cannot be run."""
        child = cls(children, logs)
        program = key.python or sys.executable
        reading, writing = os.pipe()
        try:
            with listen("127.0.0.1", 0) as sock:
                child.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
                # -P: a folder `workers` where the manager happens to be started is not ours.
                argv = [program, "-P", "-m", "workers", "--socket", str(sock.fileno()), "--report", str(writing)]
                argv += ["--imports", ",".join(key.imports)]
                await child.spawn(argv, _importable({**environ, **dict(key.env)}), pass_fds=(sock.fileno(), writing))
        except BaseException as error:
            os.close(reading)
            child.discard_log()
            if isinstance(error, OSError):
                raise LoadFailure(f"{program} cannot be run: {error}.{_how_to_make(program)}", certain=True) from error
            raise
        finally:
            os.close(writing)
        child._listening = asyncio.create_task(child._listen(reading))
        return child

    def adopt(self, spec: ModelSpec, placement: Placement, name: str, report: ReportHandler) -> None:
        """Give it its model."""
        self._report = report
        self._logs.hand_over(self.log, spec.id)
        self.log_path = self.log.path
        self.rename(name)
        birth = {
            "name": name,
            "spec": spec.model_dump(mode="json"),
            "device": {"kind": placement.kind, "dtype": placement.dtype},
            "token": self.token,
            "environment": placement.environment,
        }
        self.tell(json.dumps(birth).encode() + b"\n")

    async def ready(self) -> None:
        """Return once it serves. Raises LoadFailure when it says that it cannot, or ends."""
        if failure := await asyncio.shield(self._settled):
            raise failure

    def when_settled(self, then: Callable[[], None]) -> None:
        """Call `then` once it is ready, or will never be."""
        self._settled.add_done_callback(lambda _: then())

    async def stop(self, grace: float) -> None:
        """End it; then its log is free for the next one."""
        await super().stop(grace)
        await asyncio.wait({self._listening}, timeout=2 * LAST_WORDS)
        self._logs.release(self.log)

    def discard_log(self) -> None:
        """Remove the log of a standby that was never used: it says nothing that anybody would look for."""
        self._logs.forget(self.log)

    async def ask_to_end(self, patience: float) -> bool:
        """POST /shutdown. A worker that still loads, or hangs, does not answer."""
        if not self._settled.done():
            return False
        headers = {"authorization": f"Bearer {self.token}"}
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=patience)) as client,
                client.post(f"{self.url}/shutdown") as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _listen(self, fd: int) -> None:
        """Take in its reports until it ends."""
        hearing = asyncio.create_task(self._hear(fd))
        try:
            await self.wait()
            await asyncio.wait({hearing}, timeout=LAST_WORDS)
        finally:
            hearing.cancel()
            await asyncio.wait({hearing})
        if not self._settled.done():
            self._settle(self.early_end())

    async def _hear(self, fd: int) -> None:
        reader = asyncio.StreamReader(limit=LONGEST_REPORT)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb"))
        try:
            while line := await reader.readline():
                self._heard(line)
        except ValueError:
            log.error("%s reports without end: not listening to it any more", self._name)
        finally:
            transport.close()

    def _heard(self, line: bytes) -> None:
        try:
            self._take_in(json.loads(line))
        except Exception:  # whatever a worker says must not break the manager
            log.exception("%s reported %r", self._name, line[:200])

    def _take_in(self, report: dict[str, Any]) -> None:
        match report["event"]:
            case "started":
                self.born.set()
            case "ready":
                self.features, self.tasks = report.get("features"), report.get("tasks")
                self._settle(None)
            case "failed":
                certain, memory = bool(report.get("certain")), bool(report.get("out_of_memory"))
                self._settle(LoadFailure(str(report["message"]), certain, memory, exit_code=3))
            case _:
                self._report(report)

    def _settle(self, failure: LoadFailure | None) -> None:
        if not self._settled.done():
            self._settled.set_result(failure)


class LocalLauncher:
    """Births from standby where there is one, and cold where there is none: the same process either way."""

    def __init__(self, home: Path, imports_of: Callable[[str], tuple[str, ...]], children: ChildRegistry) -> None:
        self._imports_of = imports_of
        self._children = children
        self._logs = Logs(home / "logs")
        self._logs.sweep()
        self._environ = {"HF_HOME": str(models_folder(home))}
        self.standbys = Standbys(self._bear)

    async def start(self, spec: ModelSpec, placement: Placement, name: str, report: ReportHandler) -> LocalProcess:
        """Give birth to worker `name`, or use a standby. Raises LoadFailure if not even that works."""
        key = StandbyKey.of(spec, self._imports_of(spec.engine))
        self.standbys.pause()
        try:
            child = self.standbys.take(key) or await self._bear(key)
        except BaseException:
            self.standbys.resume()
            raise
        child.when_settled(self.standbys.resume)
        try:
            child.adopt(spec, placement, name, report)
        except BaseException:
            await child.stop(0)  # nobody else knows of it
            raise
        return child

    async def close(self) -> None:
        """End the standbys."""
        await self.standbys.close()

    async def _bear(self, key: StandbyKey) -> LocalProcess:
        return await LocalProcess.bear(key, self._children, self._logs, self._environ)


def _how_to_make(program: str) -> str:
    """What to do about an interpreter that is missing, where it is of an environment that the house makes."""
    *_, envs, name, _, _ = ("", "", "", "", *Path(program).parts)
    return f" Run `make env-{name}` first." if envs == "envs" and not Path(program).exists() else ""


def models_folder(home: Path) -> Path:
    """Where downloaded models lie: HF_HOME, else the usual cache if there is one, else under our own state."""
    if os.environ.get("HF_HOME"):
        return Path(os.environ["HF_HOME"])
    usual = Path.home() / ".cache" / "huggingface"
    return usual if usual.is_dir() else home / "models"


def _importable(environ: dict[str, str]) -> dict[str, str]:
    """With the checkout that holds `workers` on the path, also for another interpreter.

    Installed packages are not put there: they were built for this interpreter.
    """
    if ROOT.name in {"site-packages", "dist-packages"}:
        return environ
    others = environ.get("PYTHONPATH") or os.environ.get("PYTHONPATH")
    return {**environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), others)))}
