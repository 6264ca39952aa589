"""What tells processes apart: the kernel's counters, on Linux and on macOS."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from contract import process_identity
from contract.process_identity import identity, is_same


def test_processes_have_different_identities_that_stay() -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        known = identity(process.pid)
        assert known
        assert identity(process.pid) == known != identity(os.getpid())
        assert is_same(psutil.Process(process.pid), {"identity": known})
        assert not is_same(psutil.Process(), {"identity": known})
        process.kill()
    assert identity(process.pid) is None


def test_record_without_an_identity_names_no_process() -> None:
    assert not is_same(psutil.Process(), {"pid": os.getpid()})
    assert not is_same(psutil.Process(), {"pid": os.getpid(), "identity": None})


def test_macos_counts_from_the_start_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(pid: int, flavor: int, buffer: Any) -> int:
        assert (flavor, len(buffer)) == (0, 16 + 10 * 8), "rusage_info_v0: a uuid and ten counters"
        struct.pack_into("=10Q", buffer, 16, *range(100, 110))
        return 0 if pid == 1 else -1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(proc_pid_rusage=usage))
    assert process_identity._on_macos(1) == "108", "ri_proc_start_abstime is the ninth"
    assert process_identity._on_macos(2) is None
