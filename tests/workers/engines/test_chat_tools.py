"""Tools and thoughts with the chat engines of transformers and of MLX."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support import chat_engines
from tests.support.chat_families import FAMILIES
from tests.support.chat_tool_requests import *  # noqa: F403  (its tests are this file's)
from tests.support.chat_tool_requests import ScriptedEngine


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds a family's scripted model."""
    return cache(lambda family: FAMILIES[family].build(tmp_path_factory.mktemp(family)))


@pytest.fixture(scope="module", params=["transformers_chat", "mlx"])
def scripted_engine(request: pytest.FixtureRequest, build: Callable[[str], Path]) -> ScriptedEngine:
    """Loads a chat engine with a family's scripted model: `scripted_engine("llama", tool_format="none")`."""
    name: str = request.param

    def load(family: str, **options: Any) -> Any:
        return chat_engines.load(build(family), name, options=options)

    return cache(load)
