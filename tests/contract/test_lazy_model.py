"""Models whose validators are built at their first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from contract.lazy_model import LazyModel

ROOT = Path(__file__).parents[2]


class Inner(LazyModel):
    number: int = 0


class Outer(LazyModel):
    inner: Inner


def test_first_use_builds_the_validator_of_this_model_only() -> None:
    assert not Outer.__pydantic_complete__
    assert Outer.model_validate({"inner": {"number": "3"}}).inner.number == 3
    assert (Outer.__pydantic_complete__, Inner.__pydantic_complete__) == (True, False)


def test_a_started_gateway_has_built_no_request_of_a_task() -> None:
    program = (
        "import pathlib, sys, tempfile; from contract.config import Settings; from contract.tasks import all_tasks\n"
        "from gateway.app import build\n"
        "with tempfile.TemporaryDirectory() as folder: build(Settings(), pathlib.Path(folder))\n"
        "print(*(task.name for task in all_tasks().values() if task.request.__pydantic_complete__))\n"
        "print('pydantic.v1' in sys.modules)"  # FastAPI imports it to read the first parameter of a handler
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"]
