"""`make models` tells about the catalogue without a running house."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from contract import catalogue
from scripts.models.__main__ import main


@pytest.fixture(autouse=True)
def _house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("models: [{id: eyes, engine: transformers_chat, source: Qwen/Qwen2.5-VL-7B-Instruct}]")
    monkeypatch.setenv("ENGINEHOUSE_CONFIG", str(config))
    monkeypatch.setenv("HF_HOME", str(tmp_path))


def test_every_model_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert {model.id for model in catalogue.load()} <= lines.keys()
    assert lines["vlm-best"].split()[-1] == "eyes"
    assert "gated" in lines["sam3"]
    assert lines["minilm"].split()[-1] == "yes", "its weights came with a package"


def test_a_tasks_models_have_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment"]) == 0
    shown = capsys.readouterr().out
    assert "sam3 " in shown
    assert "grounding-dino" not in shown


def test_one_model_is_shown_with_the_entries_to_paste(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schnell"]) == 0
    shown = capsys.readouterr().out
    assert "gated: accept its terms at the hub (black-forest-labs/FLUX.1-schnell)" in shown
    assert "11.2 GiB in 4bit" in shown
    known = catalogue.load().find("image-gen")
    assert known is not None
    pasted = [yaml.safe_load(part.split("\n", 1)[1])[0] for part in shown.split("\n# ")[1:]]
    assert sorted(pasted, key=str) == sorted(known.entries, key=str)


def test_an_unknown_name_is_told_what_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dinov4"]) == 1
    assert "Did you mean dinov3" in capsys.readouterr().err


def test_a_wrong_configuration_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("modles: []")
    assert main([]) == 1
    assert "did you mean `models`?" in capsys.readouterr().err
