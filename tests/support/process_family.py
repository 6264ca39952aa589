"""Real processes like a worker's: a root, its child, and a grandchild that has left the tree."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from typing import Self

import psutil

from manager.process_tree import MARK, marked

_ROOT = """
import json, os, subprocess, sys
wait = [sys.executable, "-c", "held = b'x' * (20 << 20); print(1, flush=True); import signal; signal.pause()"]
child = subprocess.Popen(wait, stdout=subprocess.PIPE)
child.stdout.readline()
# The middle process exits at once, so that init adopts the grandchild, which has its own session.
middle = ("import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, start_new_session=True);"
          "p.stdout.readline(); print(p.pid)")
escaped = subprocess.run([sys.executable, "-c", middle, *wait], stdout=subprocess.PIPE, check=True).stdout
print(json.dumps([child.pid, int(escaped)]), flush=True)
sys.stdin.read()
"""


class ProcessFamily:
    """The pids `root`, `child` and `escaped`. Child and escaped grandchild hold 20 MiB each."""

    def __init__(self) -> None:
        self.uuid = uuid.uuid4().hex

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ROOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, MARK: self.uuid},
            start_new_session=True,
        )
        assert self._process.stdout
        self.root = self._process.pid
        self.child, self.escaped = json.loads(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        for process in marked(self.uuid):
            process.send_signal(signal.SIGKILL)
        self._process.kill()
        self._process.communicate()


def wait_until_gone(*pids: int, within: float = 200) -> None:
    """Return once none of the processes runs. Zombies do not count as running."""
    deadline = time.monotonic() + within
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still running: {pids}"
        time.sleep(0.005)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
