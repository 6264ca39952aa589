"""The configuration that ships: every entry, also those that are commented out, is one that the house takes on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract import config
from contract.config import ConfigError, ModelSpec, Settings
from workers import describe

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "config.yaml"


def commented_entries() -> list[dict[str, Any]]:
    """What `models:` holds behind `#`."""
    text = SHIPPED.read_text().split("\nmodels:", 1)[1]
    entries = [block for block in re.split(r"\n\s*\n", text) if re.match(r"\s+# - id:", block)]
    return [yaml.safe_load(re.sub(r"(?m)^  # ", "", entry))[0] for entry in entries]


def test_it_says_what_the_defaults_are() -> None:
    shipped = config.load(SHIPPED, {})
    assert shipped.model_copy(update={"models": ()}) == Settings()


def test_it_shows_every_key_of_every_section() -> None:
    told = yaml.safe_load(SHIPPED.read_text())
    for name, field in Settings.model_fields.items():
        if name != "models":
            assert set(told[name]) == set(getattr(field.annotation, "model_fields")), name  # noqa: B009


def test_what_is_live_needs_no_hub() -> None:
    models = config.load(SHIPPED, {}).models
    assert {m.id: m.default for m in models} == {
        "ocr": ("ocr",),
        "minilm": ("embeddings",),
        "demo-chat": ("chat",),
        "demo-image": ("image-generation",),
    }
    assert all(not m.source or m.source.startswith(("/", "package:")) for m in models)


@pytest.mark.parametrize("told", commented_entries(), ids=lambda told: str(told["id"]))
def test_a_commented_model_is_right(told: dict[str, Any]) -> None:
    offer = describe.entry(ModelSpec.model_validate(told))
    assert offer["error"] is None
    assert offer["tasks"]


def test_all_of_them_fit_beside_each_other() -> None:
    entries = commented_entries()
    assert len(entries) == 10
    assert len(Settings.model_validate({"models": entries}).models) == 10


def test_no_file_means_models_that_need_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models = config.load(environ={}).models
    assert [(m.id, m.default) for m in models] == [("ocr", ("ocr",)), ("minilm", ("embeddings",))]
    assert all(describe.entry(m)["error"] is None for m in models)


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    missing = tmp_path / "mine.yaml"
    with pytest.raises(ConfigError, match=r"mine\.yaml does not exist"):
        config.load(environ={"ENGINEHOUSE_CONFIG": str(missing)})


def test_an_empty_file_means_no_models(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert config.load(tmp_path / "config.yaml", {}).models == ()


@pytest.mark.parametrize(("written", "means"), [("./m/x", "house/m/x"), ("../m", "m")])
def test_a_relative_path_begins_at_the_file(tmp_path: Path, written: str, means: str) -> None:
    file = tmp_path / "house" / "config.yaml"
    file.parent.mkdir()
    file.write_text(f"models: [{{id: a, engine: transformers_chat, source: {written}, python: {written}}}]")
    model = config.load(file, {}).models[0]
    assert model.source == model.python == str(tmp_path / means)


def test_an_interpreter_stays_in_its_environment(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to("/usr/bin/python3")
    (tmp_path / "config.yaml").write_text("models: [{id: a, engine: fake, python: ./python}]")
    assert config.load(tmp_path / "config.yaml", {}).models[0].python == str(tmp_path / "python")


def test_a_hub_id_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("models: [{id: a, engine: transformers_chat, source: Qwen/Qwen2.5-VL-7B-Instruct}]")
    assert config.load(file, {}).models[0].source == "Qwen/Qwen2.5-VL-7B-Instruct"
