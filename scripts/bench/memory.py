"""What gateway and manager need: memory when idle and with large bodies, time to start, CPU when idle."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import psutil

from scripts.bench.images import data_uri
from scripts.bench.measurement import Goal, Result, Setup
from scripts.testbed.server import RunningServer

MB = 1e6
PROGRAMS = ("gateway", "manager")
BODIES = 5
_TEXT = f"""
{BODIES} images of 20 MB (base64 in JSON), one after another, are sent to a model whose worker is running. The peak is
the kernel's `VmHWM` minus the memory before. `start` is the median time between starting a process and its first
answer. CPU is a share of one core.
"""
NOT_LINUX = "only Linux reports the peak memory of a process"


def measure(setup: Setup) -> Result:
    """RSS in MB, times in seconds, and shares of a core."""
    with RunningServer(setup.folder / "memory", [{"id": "fake", "engine": "fake"}]) as server:
        idle_cpu = _idle_cpu(server, 1 if setup.quick else 10)
        idle_rss = {name: _process(server, name).memory_info().rss / MB for name in PROGRAMS}
        growth = _growth(server, BODIES if not setup.quick else 1) if sys.platform == "linux" else {}
        starts = {name: _start(server, name, setup.rounds(5)) for name in PROGRAMS}
    rows = [
        (
            name,
            f"{idle_rss[name]:.0f} MB",
            f"{growth.get(name, 0):.2f} bodies",
            f"{starts[name]:.2f} s",
            f"{idle_cpu[name]:.2%}",
        )
        for name in PROGRAMS
    ]
    columns = ("program", "RSS when idle", "peak with 20 MB bodies", "start", "CPU when idle")
    return Result("Resources of gateway and manager", _TEXT, _goals(idle_rss, growth, starts, idle_cpu), columns, rows)


def _goals(
    idle_rss: dict[str, float], growth: dict[str, float], starts: dict[str, float], idle_cpu: dict[str, float]
) -> list[Goal]:
    both = sum(growth.values()) if growth else None
    return [
        Goal("growth of the peak RSS of both with 20 MB bodies", 3, both, " bodies", why=NOT_LINUX),
        Goal("growth of the manager's peak RSS", 0.25, growth.get("manager"), " bodies", why=NOT_LINUX),
        Goal("RSS of both when idle", 150, sum(idle_rss.values()), " MB"),
        *(Goal(f"start of the {name}", 1, starts[name], " s") for name in PROGRAMS),
        Goal("CPU of both when idle, as a share of one core", 0.01, sum(idle_cpu.values())),
    ]


def _process(server: RunningServer, name: str) -> psutil.Process:
    return psutil.Process(server.processes[name].pid)


def _idle_cpu(server: RunningServer, seconds: float) -> dict[str, float]:
    """The share of a core that each program uses without requests."""
    before = {name: _cpu(server, name) for name in PROGRAMS}
    time.sleep(seconds)
    return {name: (_cpu(server, name) - before[name]) / seconds for name in PROGRAMS}


def _cpu(server: RunningServer, name: str) -> float:
    times = _process(server, name).cpu_times()
    return times.user + times.system


def _growth(server: RunningServer, bodies: int) -> dict[str, float]:
    """The growth of each program's peak memory, in sizes of a body."""
    body = {"model": "fake", "image": data_uri(2236, 2236)}
    server.post("/v1/vision/ocr", {"model": "fake", "image": data_uri(8, 8)}).raise_for_status()
    before = {name: _reset_peak(_process(server, name).pid) for name in PROGRAMS}
    for _ in range(bodies):
        server.post("/v1/vision/ocr", body).raise_for_status()
    size = len(body["image"])
    return {name: (_memory(_process(server, name).pid, "VmHWM") - before[name]) / size for name in PROGRAMS}


def _reset_peak(pid: int) -> int:
    """Reset the peak. Returns the current memory in bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _memory(pid, "VmRSS")


def _memory(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1]) * 1024


def _start(server: RunningServer, name: str, rounds: int) -> float:
    """The median of the seconds between starting a program and its listening."""
    seconds = []
    for _ in range(rounds):
        server.stop(name)
        started = time.perf_counter()
        server.start(name)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
