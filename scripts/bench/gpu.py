"""Models of a real size on an NVIDIA GPU: cold starts, swaps, throughput, and the memory that stays in use afterwards.

`make bench-gpu` writes docs/benchmarks-gpu.md. Models are built in $BENCH_MODELS, by default a
temporary folder, and need 25 GB there.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from scripts.bench import gpu_memory
from scripts.bench.gpu_library import SIZE, STEPS, TOKENS
from scripts.bench.measurement import Goal, Measure, Result, Setup, in_turns, ratio
from scripts.bench.servers import ROOT
from scripts.testbed.server import RunningServer, eventually

TIMEOUT = 2.0
_TEXT = f"""
The models have the shapes of Qwen2.5-7B (15.2 GB), Stable Diffusion XL (7 GB) and bge-large (0.7 GB), with random
weights in bfloat16, in files that the system has cached. `weights alone` is the time of `from_pretrained` onto the GPU
in a process that has imported everything. Chat answers have {TOKENS} tokens; images have {SIZE} x {SIZE} pixels and
{STEPS} steps. The library answers the same prompts as one batch in a process of its own. In a swap, the GPU has room
for one of two chat models, and each request is for the other one. After an idle timeout, NVML's memory in use is
compared with that before the first request.
"""
_ENGINES = {"chat": "transformers_chat", "image": "diffusers_image", "embeddings": "sentence_transformers"}
_PATHS = {"chat": "/v1/chat/completions", "image": "/v1/images/generations", "embeddings": "/v1/embeddings"}
_CLIENTS = {"chat": (1, 8, 32, 64), "image": (1, 4), "embeddings": (1, 64)}
_UNITS = {"chat": (TOKENS, "tokens/s"), "image": (60, "images/minute"), "embeddings": (1, "sentences/s")}
_REQUESTS = {"chat": 1, "image": 1, "embeddings": 40}  # of each client in a round

TableRows = list[tuple[str, ...]]


def starts(setup: Setup) -> Result:
    """Seconds of starts, and MiB that stay in use after them."""
    title = "Starts of large models on a GPU"
    if gpu_memory.used() is None:
        return Result(title, _TEXT, [Goal("GPU memory that stays in use", 0, None, " MiB", why=gpu_memory.NO_GPU)])
    goals, rows = _starts(setup, {kind: _built(setup, kind) for kind in ("chat", "image")})
    return Result(title, _TEXT, goals, ("what", "value"), rows)


def swaps(setup: Setup) -> Result:
    """Seconds of first answers for which another model must go."""
    title = "Swaps of large models on a GPU"
    if gpu_memory.used() is None:
        return Result(title, "", [Goal("swaps", 0, None, why=gpu_memory.NO_GPU)])
    return Result(title, "See above.", [], ("what", "value"), [("chat", _median(_swaps(setup, _built(setup, "chat"))))])


def rates(kind: str, setup: Setup) -> Result:
    """Answers per second of one model with several clients, and those of the library."""
    title = f"Throughput of a large model on a GPU: {kind}"
    if gpu_memory.used() is None:
        return Result(title, "", [Goal("throughput", 0, None, why=gpu_memory.NO_GPU)])
    goals, rows = _rates(setup, kind, _built(setup, kind))
    return Result(title, "See above.", goals, ("what", "value"), rows)


MEASUREMENTS: dict[str, Measure] = {
    "gpu_starts": starts,
    "gpu_swaps": swaps,
    **{f"gpu_{kind}": partial(rates, kind) for kind in _ENGINES},
}


def _built(setup: Setup, kind: str) -> Path:
    """The model's folder. It is built in a process of its own, which leaves nothing on the GPU."""
    folder = Path(os.environ.get("BENCH_MODELS", setup.folder / "models"))
    subprocess.run([sys.executable, "-m", "scripts.bench.big_models", folder, kind], cwd=ROOT, check=True)
    return folder / kind


def _entry(kind: str, source: Path, **fields: Any) -> dict[str, Any]:
    return {"id": kind, "engine": _ENGINES[kind], "source": str(source), "device": "cuda", **fields}


def _body(kind: str, prompt: str, model: str | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model or kind}
    if kind == "chat":
        return body | {"messages": [{"role": "user", "content": prompt}], "max_tokens": TOKENS, "temperature": 0}
    if kind == "image":
        return body | {"prompt": prompt, "size": f"{SIZE}x{SIZE}", "steps": STEPS}
    return body | {"input": prompt, "encoding_format": "base64"}


def _prompts(count: int, start: int = 0) -> list[str]:
    return [
        f"Tell me a story about the number {number}, and why people like it." for number in range(start, start + count)
    ]


# Starts, swaps and memory


def _starts(setup: Setup, sources: dict[str, Path]) -> tuple[list[Goal], TableRows]:
    rounds, goals, rows = setup.rounds(2), [], TableRows()
    models = [_entry(kind, source, idle_timeout=TIMEOUT) for kind, source in sources.items()]
    with ExitStack() as stack:
        ready = stack.enter_context(RunningServer(setup.folder / "standby", models, manager={"standby": 1}))
        cold = stack.enter_context(RunningServer(setup.folder / "cold", models, manager={"standby": 0}))
        before = gpu_memory.used() or 0
        for kind in sources:
            turns = {"from standby": partial(_start, ready, kind), "cold": partial(_start, cold, kind)}
            seconds = in_turns(rounds, {name: _logged(f"{kind}, {name}", turn) for name, turn in turns.items()})
            rows += [(f"{kind}: first answer, {name}", _median(values)) for name, values in seconds.items()]
        eventually("all workers are gone", lambda: not (ready.workers() or cold.workers()))
        kept = ((gpu_memory.used() or 0) - before) / 2**20
    goals.append(Goal("GPU memory that stays in use after idle stops of all models", 0, kept, " MiB"))
    return goals, rows


def _start(server: RunningServer, kind: str) -> float:
    """Seconds until a short answer of a model that is not running; waits until its memory is back."""
    eventually("the worker is gone", lambda: not server.workers())
    eventually("every standby is ready", lambda: all(standby["born"] for standby in server.status()["standbys"]))
    return _first(server, kind)


def _first(server: RunningServer, kind: str, model: str | None = None) -> float:
    body = _body(kind, "hello", model)
    short = {"max_tokens": 1} if kind == "chat" else {"steps": 1} if kind == "image" else {}
    started = time.perf_counter()
    server.post(_PATHS[kind], {**body, **short}).raise_for_status()
    return time.perf_counter() - started


def _swaps(setup: Setup, source: Path) -> list[float]:
    models = [_entry("chat", source, id=name) for name in ("one", "two")]
    with RunningServer(
        setup.folder / "swap", models, memory={"max_gpu_memory_gb": 24}, manager={"standby": 1}
    ) as server:
        _first(server, "chat", "two")
        return [_first(server, "chat", name) for _ in range(setup.rounds(2)) for name in ("one", "two")]


def _logged(name: str, turn: Callable[[], float]) -> Callable[[], float]:
    """The turn, which says what it measured as soon as it has: a page is written at the end only."""

    def measured() -> float:
        value = turn()
        print(f"{name}: {value:.2f}", file=sys.stderr, flush=True)
        return value

    return measured


def _median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s"


# Throughput


def _rates(setup: Setup, kind: str, source: Path) -> tuple[list[Goal], TableRows]:
    amount, unit = _UNITS[kind]
    clients = _CLIENTS[kind]
    options: dict[str, Any] = {"prefix_cache_gb": 0} if kind == "chat" else {}
    with ExitStack() as stack:
        server = stack.enter_context(RunningServer(setup.folder / kind, [_entry(kind, source, options=options)]))
        with ThreadPoolExecutor() as pool:  # the two starts take the same time
            first = pool.submit(_first, server, kind)
            load, library = stack.enter_context(_library(kind, source))
            first.result()
        library(_prompts(1))

        def served(number: int) -> float:
            return amount * asyncio.run(_load(server.url, kind, number))

        def batched(number: int) -> float:
            return amount * number / library(_prompts(number))

        turns: dict[str, Callable[[], float]] = {f"{number} clients": partial(served, number) for number in clients}
        turns |= {f"the library, batches of {number}": partial(batched, number) for number in (1, clients[-1])}
        turns = {name: _logged(f"{kind}, {name}", turn) for name, turn in turns.items()}
        for turn in turns.values():
            turn()  # the first time at each batch size is slower
        rates = in_turns(setup.rounds(3), turns)
    rows: TableRows = [(f"{kind}: weights alone", f"{load:.2f} s")]
    rows += [(f"{kind}: {name}", f"{statistics.median(values):,.1f} {unit}") for name, values in rates.items()]
    goals = [
        Goal(f"{kind}: {unit} of {number} client{'s' * (number > 1)}, relative to the library's batches", 0.8,
             ratio(rates[f"{number} clients"], rates[f"the library, batches of {number}"]), " ×", at_least=True)
        for number in (1, clients[-1])
    ]  # fmt: skip
    return goals, rows


@contextmanager
def _library(kind: str, source: Path) -> Iterator[tuple[float, Callable[[list[str]], float]]]:
    """The time of a load, and a function that returns the seconds of a batch."""
    argv = [sys.executable, "-m", "scripts.bench.gpu_library", kind, str(source)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def seconds(prompts: list[str]) -> float:
            print(json.dumps(prompts), file=stdin, flush=True)
            return float(stdout.readline())

        yield float(stdout.readline()), seconds
        stdin.close()


async def _load(url: str, kind: str, clients: int) -> float:
    """Answers per second with so many clients, which send one request after another."""
    count = _REQUESTS[kind]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(600)) as session:

        async def client(number: int) -> None:
            for prompt in _prompts(count, number * count):
                async with session.post(url + _PATHS[kind], json=_body(kind, prompt)) as answer:
                    answer.raise_for_status()
                    await answer.read()

        started = time.perf_counter()
        await asyncio.gather(*(client(number) for number in range(clients)))
        return clients * count / (time.perf_counter() - started)
