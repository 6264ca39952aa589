"""`python -m scripts.bench [name ...] [--quick]` runs measurements. Without names it rewrites docs/benchmarks.md.

The names `gpu_*` need an NVIDIA GPU; all of them together rewrite docs/benchmarks-gpu.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from scripts.bench import (
    arrays,
    bodies,
    chat,
    chat_dialects,
    chat_turns,
    cold,
    dialects,
    embeddings,
    gpu,
    idle,
    jobs,
    memory,
    overhead,
    page,
    report,
    sampling,
    stream,
    structured,
)
from scripts.bench.measurement import Measure, Setup
from scripts.bench.servers import ROOT

MEASUREMENTS: dict[str, Measure] = {
    "overhead": overhead.measure,
    "stream": stream.measure,
    "cold": cold.measure,
    "chat": chat.measure,
    "turns": chat_turns.measure,
    "sampling": sampling.measure,
    "structured": structured.measure,
    "embeddings": embeddings.measure,
    "arrays": arrays.measure,
    "dialects": dialects.measure,
    "chat_dialects": chat_dialects.measure,
    "bodies": bodies.measure,
    "jobs": jobs.measure,
    "memory": memory.measure,
    "idle": idle.measure,
    "page": page.measure,
}
ALL = {**MEASUREMENTS, **gpu.MEASUREMENTS}  # what the GPU does has a page of its own, written on another machine
PAGE = ROOT / "docs" / "benchmarks.md"
GPU_PAGE = ROOT / "docs" / "benchmarks-gpu.md"


def main(arguments: list[str]) -> int:
    """Measure and print; write the page after a complete run. Returns 1 with `--check` if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(ALL)}; default: all but gpu_*")
    parser.add_argument("--quick", action="store_true", help="one short round each, to test that everything works")
    parser.add_argument("--peers", default="", help="optional peers to compare with, separated by commas: litellm")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is missed")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - ALL.keys():
        parser.error(f"unknown measurement {', '.join(sorted(unknown))}; choose from {', '.join(ALL)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the cleanup that ends all started processes
    load = os.getloadavg()[0]
    results = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        setup = Setup(Path(folder), options.quick, frozenset(filter(None, options.peers.split(","))))
        for name in options.names or MEASUREMENTS:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            results.append(ALL[name](setup))
    print(report.summary(results))
    if not (options.names or options.quick):
        command = f"make bench PEERS={options.peers}" if options.peers else "make bench"
        report.write(PAGE, report.page(results, command, load))
        print(f"written: {PAGE.relative_to(ROOT)}")
    if options.names == [*gpu.MEASUREMENTS] and not options.quick:
        report.write(GPU_PAGE, report.page(results, "make bench-gpu", load))
        print(f"written: {GPU_PAGE.relative_to(ROOT)}")
    missed = any(goal.met is False for result in results for goal in result.goals)
    return int(options.check and missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
