"""Moondream's code must be trusted and recent enough, and its weights complete."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contract.errors import LoadFailed
from tests.conftest import Models
from tests.support.moondream_engines import load

pytestmark = pytest.mark.usefixtures("model_code")


def test_runs_remote_code_only_if_trusted(models: Models) -> None:
    with pytest.raises(LoadFailed, match="set `trust_remote_code: true` in the model's entry"):
        load(models("moondream"), trust_remote_code=False)


def test_rejects_other_models(models: Models) -> None:
    with pytest.raises(LoadFailed, match="'blip', which the engine moondream does not serve"):
        load(models("blip"))


def copy_of(models: Models, folder: Path) -> Path:
    return Path(shutil.copytree(models("moondream"), folder))


def test_missing_weights_are_named(models: Models, tmp_path: Path) -> None:
    folder = copy_of(models, tmp_path / "half")
    (folder / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(LoadFailed, match=r"lack 5 weights that its code needs, such as model\."):
        load(folder)


def test_rejects_a_revision_that_is_too_old(models: Models, tmp_path: Path) -> None:
    folder = copy_of(models, tmp_path / "old")
    code = folder / "moondream_tiny.py"
    code.write_text(code.read_text().replace("    def point(self):", "    def answer_question(self):"))
    with pytest.raises(LoadFailed, match=r"no point. Set `revision`"):
        load(folder)
