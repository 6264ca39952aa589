"""A program in the background, identified by the pid and its identity in a file under the state folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from contract.log_files import open_log
from contract.process_identity import identity, is_same
from scripts.control.errors import ControlError


class Daemon:
    """The gateway or the manager in the background. `name` is also the module to run."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.log = home / "logs" / f"{name}.log"
        self._record = home / name / "pid"
        self._address = home / name / "address"

    @property
    def process(self) -> psutil.Process | None:
        """The running process. None if it has ended, even if another process has its pid now."""
        try:
            record = json.loads(self._record.read_text())
            process = psutil.Process(record["pid"])
            return process if is_same(process, record) and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, KeyError, psutil.Error):
            return None

    @property
    def address(self) -> str | None:
        """The URL at which it listens; None until it does."""
        try:
            return self._address.read_text().strip() or None
        except OSError:
            return None

    def start(self, environ: Mapping[str, str] = os.environ) -> None:
        """Start it, with its output appended to its log."""
        for folder in (self.log.parent, self._record.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self._address.unlink(missing_ok=True)  # an earlier run's
        with open_log(self.log) as log:
            process = subprocess.Popen(
                [sys.executable, "-m", self.name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environ),
                start_new_session=True,
            )
        self._record.write_text(json.dumps({"pid": process.pid, "identity": identity(process.pid)}))

    def request_stop(self) -> psutil.Process | None:
        """Ask it to end, and return its process; None if it is not running. Requests in progress may finish first."""
        process = self.process
        if process is not None:
            process.terminate()
        return process

    def wait_until_stopped(self, process: psutil.Process, timeout: float) -> None:
        """Wait until it has ended. Raises ControlError if it must be killed after `timeout` seconds."""
        try:
            process.wait(timeout)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise ControlError(
                f"The {self.name} did not stop within {timeout:.0f} s and was killed. See {self.log}."
            ) from None
        finally:
            self._record.unlink(missing_ok=True)

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""
