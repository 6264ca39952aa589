"""The configuration that ships: every entry, also those that are commented out, is one that the house takes on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract import catalogue, config
from contract.config import ConfigError, ModelSpec, Settings
from manager.models import downloads
from workers import describe

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "config.yaml"


def commented_entries(text: str = SHIPPED.read_text()) -> list[dict[str, Any]]:
    """What `models:` holds behind `#`."""
    blocks = re.findall(r"(?m)^  # - id:.*\n(?:^  #   .*\n?)*", text)
    return [yaml.safe_load(re.sub(r"(?m)^  # ", "", block))[0] for block in blocks]


def live_entries() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = yaml.safe_load(SHIPPED.read_text())["models"]
    return entries


def test_it_says_what_the_defaults_are() -> None:
    shipped = config.load(SHIPPED, {})
    assert shipped.model_copy(update={"models": ()}) == Settings()


def test_it_shows_every_key_of_every_section() -> None:
    told = yaml.safe_load(SHIPPED.read_text())
    for name, field in Settings.model_fields.items():
        if name != "models":
            assert set(told[name]) == set(getattr(field.annotation, "model_fields")), name  # noqa: B009


def test_each_task_has_a_default_and_those_of_the_first_readme_examples_need_no_hub() -> None:
    models = config.load(SHIPPED, {}).models
    chosen = {task: model.id for model in models for task in model.default}
    assert chosen == {
        "ocr": "ocr",
        "embeddings": "minilm",
        "chat": "demo-chat",
        "image-generation": "demo-image",
        "image-edit": "demo-image",
        "image-variation": "demo-image",
        "analyze": "vlm-best",
        "detect": "grounding-dino",
        "segment": "sam3",
        "depth": "depth-small",
        "pointcloud": "depth-indoor-small",
        "features": "dinov2",
        "caption": "blip-base",
    }
    here = [model for model in models if downloads.downloaded(model, {"HF_HUB_CACHE": "/not/there"}) is True]
    at_once = {model.id for model in models if not model.source or model.source.startswith(("/", "package:"))}
    assert at_once == {"ocr", "minilm", "demo-chat", "demo-image"} >= {model.id for model in here}


def test_a_default_is_open_to_all_where_there_is_a_choice() -> None:
    known = catalogue.load()
    gated = [m.id for m in config.load(SHIPPED, {}).models if m.default and (k := known.find(m.id)) and k.gated]
    assert gated == ["sam3"], "no other one takes a prompt"


@pytest.mark.parametrize("told", [*live_entries(), *commented_entries()], ids=lambda told: str(told["id"]))
def test_an_entry_is_right(told: dict[str, Any]) -> None:
    offer = describe.entry(ModelSpec.model_validate(told))
    assert offer["error"] is None
    assert offer["tasks"]


@pytest.mark.parametrize("told", [*live_entries(), *commented_entries()], ids=lambda told: str(told["id"]))
def test_an_entry_is_the_catalogues(told: dict[str, Any]) -> None:
    """But for the tasks that it is the default for; and what runs a stranger's code is left to who owns the machine."""
    known = catalogue.load().identify(told["engine"], told.get("source", ""))
    if known is None:
        assert told["id"].startswith(("demo-", "my-")) or told["engine"] == "command"
        return
    expected = next(entry for entry in known.entries if entry["engine"] == told["engine"])
    assert {k: v for k, v in told.items() if k != "default"} == {
        k: v for k, v in expected.items() if k != "trust_remote_code"
    }


def test_the_seed_models_are_live() -> None:
    live = {entry["id"] for entry in live_entries()}
    assert {"vlm-fast", "vlm-best", "image-gen", "dev", "stable-diffusion", "llava", "blip-base", "mpnet"} <= live
    assert {"sam3", "grounding-dino", "dinov3", "bge-large"} <= live
    assert {m.id for m in catalogue.load() if m.family.startswith("Depth Anything")} <= live


def test_all_of_them_fit_beside_each_other() -> None:
    """The live ones as they are; a commented one beside them or in the place of the one with its name."""
    live, commented = live_entries(), commented_entries()
    assert len(commented) > 15
    others = {entry["id"]: entry for entry in commented}
    replaced = [entry for entry in live if entry["id"] not in others]
    assert len(Settings.model_validate({"models": [*replaced, *others.values()]}).models) == len(replaced) + len(others)


def foreign_recipes() -> list[dict[str, Any]]:
    """The entries that the page about foreign servers shows."""
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", (ROOT / "docs" / "foreign-servers.md").read_text())
    return [entry for block in blocks for entry in yaml.safe_load(block)]


@pytest.mark.parametrize("told", foreign_recipes(), ids=lambda told: str(told["id"]))
def test_a_documented_recipe_is_right(told: dict[str, Any]) -> None:
    offer = describe.entry(ModelSpec.model_validate(told))
    assert offer["error"] is None
    assert set(offer["tasks"]) == set(told["tasks"]), "who asks for something else is told so"
    assert "127.0.0.1" in yaml.safe_dump(told), "reached through the house alone"


def test_recipes_in_the_configuration_are_the_documented_ones() -> None:
    recipes = foreign_recipes()
    shipped = [entry for entry in commented_entries() if entry["engine"] == "command"]
    assert {entry["id"] for entry in shipped} == {"llama-cpp", "vllm"}
    assert all(entry in recipes for entry in shipped)


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
def test_a_relative_source_begins_at_the_file(tmp_path: Path, written: str, means: str) -> None:
    file = tmp_path / "house" / "config.yaml"
    file.parent.mkdir()
    file.write_text(f"models: [{{id: a, engine: transformers_chat, source: {written}}}]")
    assert config.load(file, {}).models[0].source == str(tmp_path / means)


def test_a_hub_id_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("models: [{id: a, engine: transformers_chat, source: Qwen/Qwen2.5-VL-7B-Instruct}]")
    assert config.load(file, {}).models[0].source == "Qwen/Qwen2.5-VL-7B-Instruct"
