"""Engines that several test files ask, loaded once a process, and models that are not what they ought to be."""

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

pytest.register_assert_rewrite("tests.support.chat_requests")


@pytest.fixture(scope="session")
def chat_engine(models: Callable[[str], Path]) -> Callable[..., Engine]:
    """`chat_engine("lm", context=16)`: the chat engine with the tiny model of that family."""
    return cache(lambda family, **options: chat_engines.load(models(family), options=options))


@pytest.fixture(scope="session")
def detector(models: Callable[[str], Path]) -> detect_engines.Detector:
    """`detector("detr", batch_size=2)`: the detection engine with the tiny model of that family."""
    return cache(lambda family, **options: detect_engines.load(models(family), **options))


@pytest.fixture(scope="session")
def depth_engine(models: Callable[[str], Path]) -> depth_engines.DepthEngine:
    """`depth_engine("depth_metric", batch_size=2)`: the depth engine with the tiny model of that family."""
    return cache(lambda family, **options: depth_engines.load(models(family), **options))


@pytest.fixture(scope="session")
def painter(models: Callable[[str], Path]) -> image_engines.Painter:
    """`painter("sd_inpaint")`: the image engine with the tiny model of that family."""
    return cache(lambda family: image_engines.load(models(family)))


@pytest.fixture(scope="session")
def sd(painter: image_engines.Painter) -> Any:
    """The image engine with a tiny Stable Diffusion."""
    return painter("sd")


@pytest.fixture(scope="session")
def flux(painter: image_engines.Painter) -> Any:
    """The image engine with a tiny FLUX.1 dev."""
    return painter("flux")


@pytest.fixture
def copy(models: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """`copy("lm", model_type="x")`: a tiny model with other values in its config.json, of which None takes one out."""

    def copied(family: str, **changes: Any) -> Path:
        folder = Path(shutil.copytree(models(family), tmp_path / family))
        config = {**json.loads((folder / "config.json").read_text()), **changes}
        (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
        return folder

    return copied
