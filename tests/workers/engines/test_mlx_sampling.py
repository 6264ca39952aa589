"""Sampling with MLX: the tests of every chat engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.support import chat_engines
from tests.support.chat_requests import ChatEngine
from tests.support.sampling_requests import *  # noqa: F403  (its tests are this file's)


@pytest.fixture(scope="module")
def chat_engine(models: Callable[[str], Path]) -> ChatEngine:
    return cache(lambda family, **options: chat_engines.load(models(f"mlx_{family}"), engine="mlx", options=options))
