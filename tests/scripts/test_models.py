"""`make models` shows the catalogue without a running server."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from contract import catalogue
from scripts.models.__main__ import main


@pytest.fixture(autouse=True)
def _configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("models: [{id: eyes, engine: transformers_chat, source: Qwen/Qwen2.5-VL-7B-Instruct}]")
    monkeypatch.setenv("ENGINEHOUSE_CONFIG", str(config))
    monkeypatch.setenv("HF_HOME", str(tmp_path))


def test_every_model_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert {model.id for model in catalogue.load()} <= lines.keys()
    assert lines["vlm-best"].split()[-1] == "eyes"
    assert "gated" in lines["sam3"]
    assert lines["minilm"].split()[-1] == "yes", "its weights are part of an installed package"


def test_task_name_selects_its_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment"]) == 0
    shown = capsys.readouterr().out
    assert "sam3 " in shown
    assert "grounding-dino" not in shown


def test_model_name_shows_details_and_valid_entries(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schnell"]) == 0
    shown = capsys.readouterr().out
    assert "gated: accept the terms of black-forest-labs/FLUX.1-schnell" in shown
    assert "11.2 GiB in 4bit" in shown
    known = catalogue.load().find("image-gen")
    assert known is not None
    entries = [yaml.safe_load(part.split("\n", 1)[1])[0] for part in shown.split("\n# ")[1:]]
    assert sorted(entries, key=str) == sorted(known.entries, key=str)


def test_unknown_name_gets_suggestions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dinov4"]) == 1
    assert "Did you mean dinov3" in capsys.readouterr().err


def test_invalid_configuration_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("modles: []")
    assert main([]) == 1
    assert "did you mean `models`?" in capsys.readouterr().err


def test_says_which_configured_model_needs_consent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = "{id: moon, engine: moondream, source: vikhyatk/moondream2%s}"
    for consent, shown in (("", "moon (needs trust_remote_code)"), (", trust_remote_code: true", "moon")):
        (tmp_path / "config.yaml").write_text(f"models: [{entry % consent}]")
        assert main(["vlm-fast"]) == 0
        [configured] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("configured")]
        assert configured.split(maxsplit=1)[1] == shown
