"""Runs the measurements: `python -m scripts.bench [name ...] [--quick]`; all of them rewrite docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from scripts.bench import arrays, chat, cold, embeddings, idle, memory, report, stream, way
from scripts.bench.measurement import Measure, Setup
from scripts.bench.servers import ROOT

MEASUREMENTS: dict[str, Measure] = {
    "way": way.measure,
    "stream": stream.measure,
    "cold": cold.measure,
    "chat": chat.measure,
    "embeddings": embeddings.measure,
    "arrays": arrays.measure,
    "memory": memory.measure,
    "idle": idle.measure,
}
PAGE = ROOT / "docs" / "benchmarks.md"


def main(arguments: list[str]) -> int:
    """Measure, print, and write the page if all was measured thoroughly. 1 with `--check` if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(MEASUREMENTS)}; none: all")
    parser.add_argument("--quick", action="store_true", help="one short round each, to see that everything runs")
    parser.add_argument("--peers", default="", help="optional peers, with commas between them: litellm")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is missed")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(MEASUREMENTS):
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    load = os.getloadavg()[0]
    results = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        setup = Setup(Path(folder), asked.quick, frozenset(filter(None, asked.peers.split(","))))
        for name in asked.names or MEASUREMENTS:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            results.append(MEASUREMENTS[name](setup))
    print(report.summary(results))
    if not (asked.names or asked.quick):
        command = f"make bench PEERS={asked.peers}" if asked.peers else "make bench"
        report.write(PAGE, report.page(results, command, load))
        print(f"written: {PAGE.relative_to(ROOT)}")
    missed = any(goal.met is False for result in results for goal in result.goals)
    return int(asked.check and missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
