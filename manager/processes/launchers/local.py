"""Starts our own workers: each starts with a listening socket and no model, and is assigned one by a line on stdin."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from contract.addresses import ALLOW_PRIVATE
from contract.config import ModelSpec
from contract.status import ModelFacts
from manager.processes.children import ChildRegistry
from manager.processes.launchers import ReportHandler
from manager.processes.launchers.child import Child
from manager.processes.launchers.logs import Logs
from manager.processes.launchers.pipe_end import pipe_end
from manager.processes.launchers.standby import StandbyKey, Standbys
from manager.processes.network import WorkerNetwork
from manager.state.process import LoadFailure, Placement

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[3]
"""The folder that contains the package `workers`: a checkout, or the folder of installed packages."""

LAST_REPORT_TIMEOUT = 0.5
"""Seconds to wait for the last report of a worker that has ended: a descendant may hold the pipe open."""

MAX_REPORT_BYTES = 1 << 20


class LocalProcess(Child):
    """One of our workers. `started` is set once its imports are done."""

    def __init__(self, children: ChildRegistry, logs: Logs) -> None:
        super().__init__(children, "standby")
        self.log = logs.for_standby(self.uuid)
        self.log_path = self.log.path
        self.features: list[str] | None = None
        self.facts = ModelFacts()
        self.tasks: list[str] | None = None
        self.joins: str | None = None
        self.started = asyncio.Event()
        self.imported_at: float | None = None  # in monotonic seconds
        self._logs = logs
        self._outcome: asyncio.Future[LoadFailure | None] = asyncio.get_running_loop().create_future()
        self._report: ReportHandler = lambda _: None
        self._reading: asyncio.Task[None]

    @classmethod
    async def launch(
        cls, key: StandbyKey, children: ChildRegistry, logs: Logs, environ: Mapping[str, str], network: WorkerNetwork
    ) -> LocalProcess:
        """Start a worker without a model. Raises LoadFailure if its interpreter cannot be run, or no port is free."""
        process = cls(children, logs)
        python = key.python or sys.executable
        read_end, write_end = os.pipe()
        try:
            with network.listen() as sock:
                process.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
                # -P: a folder `workers` in the manager's working directory must not be imported.
                argv = [python, "-P", "-m", "workers", "--socket", str(sock.fileno()), "--report", str(write_end)]
                argv += ["--imports", ",".join(key.imports)]
                env = _with_workers_importable({**environ, **dict(key.env)})
                await process.spawn(argv, env, pass_fds=(sock.fileno(), write_end))
        except BaseException as error:
            os.close(read_end)
            process.discard_log()
            if isinstance(error, OSError):
                raise LoadFailure(
                    f"{python} cannot be run: {error.strerror}.{_install_hint(python)}", certain=True, permanent=True
                ) from error
            raise
        finally:
            os.close(write_end)
        process._reading = asyncio.create_task(process._read_until_exit(read_end))
        return process

    def assign(self, spec: ModelSpec, placement: Placement, name: str, report: ReportHandler) -> None:
        """Send it the model that it is to load, and from now on hand its reports to `report`."""
        self._report = report
        self._logs.assign(self.log, spec.id)
        self.log_path = self.log.path
        self.rename(name)
        assignment = {
            "name": name,
            "spec": spec.model_dump(mode="json"),
            "device": {"kind": placement.kind, "dtype": placement.dtype, "memory": placement.memory},
            "token": self.token,
            "environment": placement.environment,
        }
        self.send_line(json.dumps(assignment).encode() + b"\n")

    async def ready(self) -> None:
        """Return once it serves requests. Raises LoadFailure when it reports a failure, or exits."""
        if failure := await asyncio.shield(self._outcome):
            raise failure

    def when_start_ends(self, callback: Callable[[], None]) -> None:
        """Call `callback` once it is ready, or has failed to start."""
        self._outcome.add_done_callback(lambda _: callback())

    async def stop(self, grace: float) -> None:
        """Stop it, then release its log for the model's next worker."""
        await super().stop(grace)
        await asyncio.wait({self._reading}, timeout=2 * LAST_REPORT_TIMEOUT)
        self._logs.release(self.log)

    def discard_log(self) -> None:
        """Remove the log of a standby that was never used."""
        self._logs.discard(self.log)

    async def request_shutdown(self, timeout: float) -> bool:  # noqa: ASYNC109 - handed on to aiohttp
        """POST /shutdown. A worker that is still loading, or hangs, does not answer."""
        if not self._outcome.done():
            return False
        headers = {"authorization": f"Bearer {self.token}"}
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=timeout)) as client,
                client.post(f"{self.url}/shutdown") as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _read_until_exit(self, fd: int) -> None:
        """Handle its reports until it ends. If it never said whether it is ready, the exit is its failure."""
        reading = asyncio.create_task(self._read_reports(fd))
        try:
            await self.wait()
            await asyncio.wait({reading}, timeout=LAST_REPORT_TIMEOUT)
        finally:
            reading.cancel()
            await asyncio.wait({reading})
        if not self._outcome.done():
            self._end_start(self.exit_failure())

    async def _read_reports(self, fd: int) -> None:
        reader = asyncio.StreamReader(limit=MAX_REPORT_BYTES)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe_end(fd, "rb"))
        try:
            while line := await reader.readline():
                self._handle_line(line)
        except ValueError:
            log.error("%s sent a report without end: its further reports are ignored", self._name)
        finally:
            transport.close()

    def _handle_line(self, line: bytes) -> None:
        try:
            self._handle_report(json.loads(line))
        except Exception:  # no report of a worker may break the manager
            log.exception("%s sent a report that cannot be handled: %r", self._name, line[:200])

    def _handle_report(self, report: dict[str, Any]) -> None:
        match report["event"]:
            case "started":
                self.imported_at = time.monotonic()
                self.started.set()
            case "ready":
                self.features, self.tasks, self.joins = (report.get(name) for name in ("features", "tasks", "joins"))
                self.facts = ModelFacts.model_validate(report.get("facts", {}))
                self._end_start(None)
            case "failed":
                certain, memory = bool(report.get("certain")), bool(report.get("out_of_memory"))
                permanent = certain and not memory
                self._end_start(LoadFailure(str(report["message"]), certain, memory, exit_code=3, permanent=permanent))
            case _:
                self._report(report)

    def _end_start(self, failure: LoadFailure | None) -> None:
        if not self._outcome.done():
            self._outcome.set_result(failure)


class LocalLauncher:
    """Starts workers from a standby if there is one, else from nothing: both are the same kind of process."""

    def __init__(
        self,
        home: Path,
        imports_of: Callable[[str], tuple[str, ...]],
        children: ChildRegistry,
        logs: Logs,
        network: WorkerNetwork | None = None,
    ) -> None:
        self._network = network or WorkerNetwork()
        self._imports_of = imports_of
        self._children = children
        self._logs = logs
        self._logs.remove_stale()
        self._environ = {"HF_HOME": str(models_folder(home)), ALLOW_PRIVATE: ",".join(self._network.allow_private)}
        self.standbys = Standbys(self._launch)

    async def start(self, spec: ModelSpec, placement: Placement, name: str, report: ReportHandler) -> LocalProcess:
        """Start worker `name`, from a standby if there is one. Raises LoadFailure if it cannot be started."""
        key = StandbyKey.of(spec, self._imports_of(spec.engine))
        self.standbys.pause()
        try:
            process = self.standbys.take(key) or await self._launch(key)
        except BaseException:
            self.standbys.resume()
            raise
        process.when_start_ends(self.standbys.resume)
        try:
            process.assign(spec, placement, name, report)
        except BaseException:
            await process.stop(0)  # the caller never gets it, so it could not stop it
            raise
        return process

    async def close(self) -> None:
        """Stop the standbys."""
        await self.standbys.close()

    async def _launch(self, key: StandbyKey) -> LocalProcess:
        return await LocalProcess.launch(key, self._children, self._logs, self._environ, self._network)


def models_folder(home: Path) -> Path:
    """The folder for downloaded models: HF_HOME, else the usual cache if it exists, else one in the state folder."""
    if os.environ.get("HF_HOME"):
        return Path(os.environ["HF_HOME"])
    usual = Path.home() / ".cache" / "huggingface"
    return usual if usual.is_dir() else home / "models"


def _install_hint(python: str) -> str:
    """How to install a missing interpreter that belongs to an environment that `make` creates, or where it is named."""
    *_, envs, name, _, _ = ("", "", "", "", *Path(python).parts)
    is_ours = envs == "envs" and not Path(python).exists()
    return f" Run `make env-{name}` first." if is_ours else " Correct the entry's `python`."


def _with_workers_importable(environ: dict[str, str]) -> dict[str, str]:
    """Put the checkout that contains `workers` on the Python path, also for another interpreter.

    A folder of installed packages is not put there: its packages were built for this interpreter.
    """
    if ROOT.name in {"site-packages", "dist-packages"}:
        return environ
    others = environ.get("PYTHONPATH") or os.environ.get("PYTHONPATH")
    return {**environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), others)))}
