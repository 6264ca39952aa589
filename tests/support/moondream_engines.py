"""Loads the tiny Moondream into its engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract.config import ModelSpec
from workers.engine import Device, Engine
from workers.registry import find_engine


def load(folder: Path, **entry: Any) -> Engine:
    engine = find_engine("moondream")()
    entry = {"trust_remote_code": True, "options": {"threads": 1}, **entry}
    spec = ModelSpec.model_validate({"id": "moon", "engine": "moondream", "source": str(folder), **entry})
    engine.load(spec, Device("cpu", "float32"))
    return engine
