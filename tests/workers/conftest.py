"""Engines that several test files use, loaded once per process, and copies of tiny models with other settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support import chat_engines, depth_engines, detect_engines, image_engines
from workers.engine import Engine


@pytest.fixture(scope="session")
def chat_engine(models: Callable[[str], Path]) -> Callable[..., Engine]:
    """Loads the chat engine with a tiny model: `chat_engine("lm", context=16)`."""
    return cache(lambda family, **options: chat_engines.load(models(family), options=options))


@pytest.fixture
def engines(chat_engine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Loads chat engines whose answers always reach `max_tokens`, since no token ends them.

    By default caches are off and prompts are read whole; options override it: `engines("lm", prefix_cache_gb=1)`.
    """
    plain = {"prefix_cache_gb": 0, "image_cache_gb": 0, "prefill_chunk": 0}

    def endless(family: str, **options: Any) -> Any:
        engine = chat_engine(family, **{**plain, **options})
        monkeypatch.setattr(engine._answers.maker, "end_tokens", frozenset())
        return engine

    return endless


@pytest.fixture(scope="session")
def detector(models: Callable[[str], Path]) -> detect_engines.DetectEngine:
    """Loads the detection engine with a tiny model: `detector("detr", batch_size=2)`."""
    return cache(lambda family, **options: detect_engines.load(models(family), **options))


@pytest.fixture(scope="session")
def depth_engine(models: Callable[[str], Path]) -> depth_engines.DepthEngine:
    """Loads the depth engine with a tiny model: `depth_engine("depth_metric", batch_size=2)`."""
    return cache(lambda family, **options: depth_engines.load(models(family), **options))


@pytest.fixture(scope="session")
def painter(models: Callable[[str], Path]) -> image_engines.Painter:
    """Loads the image generation engine with a tiny model: `painter("sd_inpaint")`."""
    return cache(lambda family: image_engines.load(models(family)))


@pytest.fixture(scope="session")
def sd(painter: image_engines.Painter) -> Any:
    """The image generation engine with a tiny Stable Diffusion."""
    return painter("sd")


@pytest.fixture(scope="session")
def flux(painter: image_engines.Painter) -> Any:
    """The image generation engine with a tiny FLUX.1-dev."""
    return painter("flux")


@pytest.fixture
def copy(models: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """Copies a tiny model and changes its config.json: `copy("lm", model_type="x")`. None removes a key."""

    def make_copy(family: str, **changes: Any) -> Path:
        folder = Path(shutil.copytree(models(family), tmp_path / family))
        config = {**json.loads((folder / "config.json").read_text()), **changes}
        (folder / "config.json").write_text(
            json.dumps({key: value for key, value in config.items() if value is not None})
        )
        return folder

    return make_copy
