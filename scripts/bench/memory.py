"""What gateway and manager take: memory with large bodies and at rest, time to start, CPU at rest."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import psutil

from scripts.bench.measurement import Goal, Result, Setup
from scripts.bench.pictures import data_uri
from scripts.testbed.server import RunningServer

MB = 1e6
PROGRAMS = ("gateway", "manager")
BODIES = 5
_TEXT = f"""
{BODIES} images of 20 MB (as JSON, in base64), one after the other, to a model whose worker runs. The peak is the
kernel's own (`VmHWM`), over what the program held before. `start` is the time from a process's birth to its first
answer, the median of several; CPU is a share of one core.
"""
NOT_LINUX = "the kernel tells a process's peak memory only on Linux"


def measure(setup: Setup) -> Result:
    """RSS in MB, seconds, and shares of a core."""
    with RunningServer(setup.folder / "memory", [{"id": "fake", "engine": "fake"}]) as server:
        rest = _cpu_at_rest(server, 1 if setup.quick else 10)
        idle = {name: _process(server, name).memory_info().rss / MB for name in PROGRAMS}
        growth = _growth(server, BODIES if not setup.quick else 1) if sys.platform == "linux" else {}
        starts = {name: _start(server, name, setup.rounds(5)) for name in PROGRAMS}
    rows = [
        (
            name,
            f"{idle[name]:.0f} MB",
            f"{growth.get(name, 0):.2f} bodies",
            f"{starts[name]:.2f} s",
            f"{rest[name]:.2%}",
        )
        for name in PROGRAMS
    ]
    columns = ("program", "RSS at rest", "peak with 20 MB bodies", "start", "CPU at rest")
    return Result("What gateway and manager take", _TEXT, _goals(idle, growth, starts, rest), columns, rows)


def _goals(
    idle: dict[str, float], growth: dict[str, float], starts: dict[str, float], rest: dict[str, float]
) -> list[Goal]:
    both = sum(growth.values()) if growth else None
    return [
        Goal("peak RSS of both with 20 MB bodies grows by", 3, both, " bodies", why=NOT_LINUX),
        Goal("the manager's alone by", 0.25, growth.get("manager"), " bodies", why=NOT_LINUX),
        Goal("RSS of both at rest", 150, sum(idle.values()), " MB"),
        *(Goal(f"the {name} is ready after", 1, starts[name], " s") for name in PROGRAMS),
        Goal("CPU of both at rest, of one core", 0.01, sum(rest.values())),
    ]


def _process(server: RunningServer, name: str) -> psutil.Process:
    return psutil.Process(server.processes[name].pid)


def _cpu_at_rest(server: RunningServer, seconds: float) -> dict[str, float]:
    """The share of a core that each program uses while nobody asks for anything."""
    before = {name: _cpu(server, name) for name in PROGRAMS}
    time.sleep(seconds)
    return {name: (_cpu(server, name) - before[name]) / seconds for name in PROGRAMS}


def _cpu(server: RunningServer, name: str) -> float:
    times = _process(server, name).cpu_times()
    return times.user + times.system


def _growth(server: RunningServer, bodies: int) -> dict[str, float]:
    """By how many bodies each program's peak memory rises over what it held before."""
    body = {"model": "fake", "image": data_uri(2236, 2236)}
    server.post("/v1/vision/ocr", {"model": "fake", "image": data_uri(8, 8)}).raise_for_status()
    before = {name: _reset_peak(_process(server, name).pid) for name in PROGRAMS}
    for _ in range(bodies):
        server.post("/v1/vision/ocr", body).raise_for_status()
    size = len(body["image"])
    return {name: (_memory(_process(server, name).pid, "VmHWM") - before[name]) / size for name in PROGRAMS}


def _reset_peak(pid: int) -> int:
    """Let the peak begin anew. Returns the memory held now, in bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _memory(pid, "VmRSS")


def _memory(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1]) * 1024


def _start(server: RunningServer, name: str, rounds: int) -> float:
    """The median of seconds from a program's birth to the moment at which it listens."""
    seconds = []
    for _ in range(rounds):
        server.stop(name)
        started = time.perf_counter()
        server.start(name)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
