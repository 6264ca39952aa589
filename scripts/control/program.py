"""A program that runs in the background: known by the pid and the start time in a file under the state folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from scripts.control.trouble import Trouble

PATIENCE = 90.0
"""Seconds that a program may take to end: the manager first lets its workers finish."""


class Program:
    """The gateway or the manager of one house; `name` is also the module that is run."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.log = home / "logs" / f"{name}.log"
        self._identity = home / name / "pid"
        self._address = home / name / "address"

    @property
    def process(self) -> psutil.Process | None:
        """The running process; None also when the pid has become somebody else's."""
        try:
            told = json.loads(self._identity.read_text())
            process = psutil.Process(told["pid"])
            same = abs(process.create_time() - told["started"]) < 0.05
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, psutil.Error):
            return None

    @property
    def address(self) -> str | None:
        """Where it listens, once it does."""
        try:
            return self._address.read_text().strip() or None
        except OSError:
            return None

    def forget_address(self) -> None:
        """Remove what an earlier run has left, so that `address` is the next run's."""
        self._address.unlink(missing_ok=True)

    def start(self, environ: Mapping[str, str] = os.environ) -> None:
        """Start it, with its output at the end of its log."""
        for folder in (self.log.parent, self._identity.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self.forget_address()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", self.name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environ),
                start_new_session=True,
            )
        identity = {"pid": process.pid, "started": psutil.Process(process.pid).create_time()}
        self._identity.write_text(json.dumps(identity))

    def stop(self) -> bool:
        """End it and wait until it has ended. False if it did not run. Raises Trouble if it had to be killed."""
        process = self.process
        if process is None:
            return False
        process.terminate()
        try:
            process.wait(PATIENCE)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise Trouble(
                f"the {self.name} did not end within {PATIENCE:.0f} s and was killed; see {self.log}"
            ) from None
        finally:
            self._identity.unlink(missing_ok=True)
        return True

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""
