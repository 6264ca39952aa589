"""What all tests share: tiny models, built once a run and only when a test asks for one."""

from __future__ import annotations

import fcntl
import importlib
import os
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.testbed import models as families

Models = Callable[[str], Path]
"""The folder of the tiny model of a family: `models("sd")`, for which `build_sd(folder)` stands in tests/models."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Builds a family's model on first use. Processes of one parallel run share them."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models"
    shared.mkdir(exist_ok=True)

    def build(family: str) -> Path:
        folder, done = shared / family, shared / f"{family}.done"
        with (shared / f"{family}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be building it: wait for that
            if not done.exists():
                folder.mkdir(exist_ok=True)
                _builder(family)(folder)
                done.touch()
        return folder

    return build


@pytest.fixture(scope="session")
def model_code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """transformers runs a copy of the code that comes with a model: here it lies in a folder of this process."""
    from transformers import dynamic_module_utils as library

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "HF_MODULES_CACHE", str(tmp_path_factory.mktemp("model-code")))
        patch.syspath_prepend(library.HF_MODULES_CACHE)
        yield


def _builder(family: str) -> Callable[[Path], None]:
    for info in pkgutil.iter_modules(families.__path__):
        module = importlib.import_module(f"{families.__name__}.{info.name}")
        if builder := getattr(module, f"build_{family}", None):
            return builder
    raise LookupError(f"no build_{family} in tests/models")
