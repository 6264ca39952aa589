"""Starts our own workers: born with a listening socket and no model, told their model by one line on stdin."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from contract.asgi.serve import listen
from contract.config import ModelSpec
from manager.children import Children
from manager.launchers import LoadFailure, Placement, Report
from manager.launchers.child import Child, new_log
from manager.launchers.standby import Key, Standbys


class LocalProcess(Child):
    """One of our workers, from its birth on."""

    def __init__(self, children: Children, logs: Path) -> None:
        super().__init__(children)
        self.log_path = new_log(logs, f"standby-{self.uuid}")
        self.features: list[str] | None = None
        self.born = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._report: Report = lambda _: None
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def bear(cls, key: Key, children: Children, logs: Path, environ: dict[str, str]) -> LocalProcess:
        """A worker without a model. Raises LoadFailure when its interpreter cannot be run."""
        child = cls(children, logs)
        reading, writing = os.pipe()
        with listen("127.0.0.1", 0) as sock:
            child.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            argv = [key.python or sys.executable, "-m", "workers", "--socket", str(sock.fileno())]
            argv += ["--report", str(writing), "--imports", ",".join(key.imports)]
            try:
                await child.spawn(argv, {**environ, **dict(key.env)}, (sock.fileno(), writing))
            except OSError as error:
                os.close(reading)
                raise LoadFailure(f"{argv[0]} cannot be run: {error}.", certain=True) from error
            finally:
                os.close(writing)
        child._listening = asyncio.create_task(child._listen(reading))
        return child

    async def adopt(self, spec: ModelSpec, placement: Placement, name: str, report: Report) -> None:
        """Give it its model."""
        self._report = report
        with suppress(OSError):
            self.log_path = self.log_path.replace(new_log(self.log_path.parent, name))
        birth = {
            "name": name,
            "spec": spec.model_dump(mode="json"),
            "device": {"kind": placement.kind, "dtype": placement.dtype},
            "token": self.token,
            "environment": placement.environment,
        }
        await self.tell(json.dumps(birth).encode() + b"\n")

    async def ready(self) -> None:
        """Return once it serves. Raises LoadFailure when it says that it cannot, or ends."""
        assert self._listening is not None
        await asyncio.wait({self._ready, self._listening}, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        await self.wait()  # its end of the pipe is closed: it has ended, or is about to
        raise LoadFailure(f"it ended with exit code {self.exit_code} while starting.", exit_code=self.exit_code)

    async def ask_to_end(self) -> bool:
        """POST /shutdown. A worker that still loads, or hangs, does not answer."""
        if not self._ready.done():
            return False
        timeout = aiohttp.ClientTimeout(total=1)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as client:
                headers = {"authorization": f"Bearer {self.token}"}
                async with client.post(f"{self.url}/shutdown", headers=headers) as response:
                    return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _listen(self, fd: int) -> None:
        """Take in its reports until it ends."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb"))
        try:
            while line := await reader.readline():
                self._heard(json.loads(line))
        finally:
            transport.close()

    def _heard(self, report: dict[str, Any]) -> None:
        match report["event"]:
            case "born":
                self.born.set()
            case "ready" if not self._ready.done():
                self.features = report.get("features")
                self._ready.set_result(None)
            case "failed" if not self._ready.done():
                failure = LoadFailure(report["message"], report["certain"], report["out_of_memory"], exit_code=3)
                self._ready.set_exception(failure)
                self._ready.exception()  # who does not wait any more need not hear of it
            case _:
                self._report(report)


class LocalLauncher:
    """Births from standby where there is one, and cold where there is none: the same process either way."""

    def __init__(self, home: Path, imports_of: Callable[[str], tuple[str, ...]], children: Children) -> None:
        self._imports_of = imports_of
        self._children = children
        self._logs = home / "logs"
        self._environ = {"HF_HOME": str(models_folder(home))}
        self.standbys = Standbys(self._bear)
        for log in self._logs.glob("standby-*.log"):
            log.unlink()  # of a manager that was killed

    async def start(self, spec: ModelSpec, placement: Placement, name: str, report: Report) -> LocalProcess:
        """Give birth to worker `name`, or use a standby. Raises LoadFailure if not even that works."""
        key = Key.of(spec, self._imports_of(spec.engine))
        child = self.standbys.take(key)
        if child is None:
            child = await self._bear(key)
        else:
            child.from_standby = True
        await child.adopt(spec, placement, name, report)
        return child

    async def close(self) -> None:
        """End the standbys."""
        await self.standbys.close()

    async def _bear(self, key: Key) -> LocalProcess:
        return await LocalProcess.bear(key, self._children, self._logs, self._environ)


def models_folder(home: Path) -> Path:
    """Where downloaded models lie: HF_HOME, else the usual cache if there is one, else under our own state."""
    if os.environ.get("HF_HOME"):
        return Path(os.environ["HF_HOME"])
    usual = Path.home() / ".cache" / "huggingface"
    return usual if usual.is_dir() else home / "models"
