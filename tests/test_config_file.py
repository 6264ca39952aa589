"""The shipped config.yaml: every entry is valid, including those that are commented out."""

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
    """The entries of `models:` that are commented out."""
    blocks = re.findall(r"(?m)^  # - id:.*\n(?:^  #   .*\n?)*", text)
    return [yaml.safe_load(re.sub(r"(?m)^  # ", "", block))[0] for block in blocks]


def live_entries() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = yaml.safe_load(SHIPPED.read_text())["models"]
    return entries


def test_shipped_values_are_the_defaults() -> None:
    shipped = config.load(SHIPPED, {})
    assert shipped.model_copy(update={"models": ()}) == Settings()


def test_every_key_of_every_section_is_shown() -> None:
    shipped = yaml.safe_load(SHIPPED.read_text())
    for name, field in Settings.model_fields.items():
        if name != "models":
            assert set(shipped[name]) == set(getattr(field.annotation, "model_fields")), name  # noqa: B009


def test_every_task_has_a_default_model() -> None:
    models = config.load(SHIPPED, {}).models
    chosen = {task: model.id for model in models for task in model.default}
    assert chosen == {
        "ocr": "ocr",
        "embeddings": "minilm",
        "rerank": "bge-reranker",
        "transcription": "whisper",
        "translation": "whisper",
        "speech": "kokoro",
        "chat": "demo-chat",
        "completions": "demo-chat",
        "tokenize": "demo-chat",
        "detokenize": "demo-chat",
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
        "crawl": "crawl",
    }
    downloaded = [model for model in models if downloads.downloaded(model, {"HF_HUB_CACHE": "/not/there"}) is True]
    need_no_hub = {model.id for model in models if not model.source or model.source.startswith(("/", "package:"))}
    assert need_no_hub == {"ocr", "minilm", "crawl", "demo-chat", "demo-image"} >= {model.id for model in downloaded}


def test_default_models_are_not_gated_if_possible() -> None:
    known = catalogue.load()
    gated = [m.id for m in config.load(SHIPPED, {}).models if m.default and (k := known.find(m.id)) and k.gated]
    assert gated == ["sam3"], "no other model takes a text prompt"


@pytest.mark.parametrize("entry", [*live_entries(), *commented_entries()], ids=lambda entry: str(entry["id"]))
def test_entry_is_valid(entry: dict[str, Any]) -> None:
    offer = describe.entry(ModelSpec.model_validate(entry))
    assert offer["error"] is None
    assert offer["tasks"]


@pytest.mark.parametrize("entry", [*live_entries(), *commented_entries()], ids=lambda entry: str(entry["id"]))
def test_entry_equals_the_catalogues(entry: dict[str, Any]) -> None:
    """Except `default`, and `trust_remote_code`, which is the decision of the machine's owner."""
    known = catalogue.load().identify(entry["engine"], entry.get("source", ""))
    if known is None:
        assert entry["id"].startswith(("demo-", "my-")) or entry["engine"] in {"command", "crawl"}
        return
    expected = next(known_entry for known_entry in known.entries if known_entry["engine"] == entry["engine"])
    assert {k: v for k, v in entry.items() if k != "default"} == {
        k: v for k, v in expected.items() if k != "trust_remote_code"
    }


def test_common_models_are_not_commented_out() -> None:
    live = {entry["id"] for entry in live_entries()}
    assert {"vlm-fast", "vlm-best", "image-gen", "dev", "stable-diffusion", "llava", "blip-base", "mpnet"} <= live
    assert {"sam3", "grounding-dino", "dinov3", "bge-large"} <= live
    assert {m.id for m in catalogue.load() if m.family.startswith("Depth Anything")} <= live


def test_commented_entries_fit_beside_the_others() -> None:
    """Each commented entry can be added, or replace the entry with its id."""
    live, commented = live_entries(), commented_entries()
    assert len(commented) > 15
    others = {entry["id"]: entry for entry in commented}
    replaced = [entry for entry in live if entry["id"] not in others]
    assert len(Settings.model_validate({"models": [*replaced, *others.values()]}).models) == len(replaced) + len(others)


def documented_recipes() -> list[dict[str, Any]]:
    """The entries on the page about external servers."""
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", (ROOT / "docs" / "external-servers.md").read_text())
    return [entry for block in blocks for entry in yaml.safe_load(block)]


@pytest.mark.parametrize("entry", documented_recipes(), ids=lambda entry: str(entry["id"]))
def test_documented_recipe_is_valid(entry: dict[str, Any]) -> None:
    offer = describe.entry(ModelSpec.model_validate(entry))
    assert offer["error"] is None
    assert set(offer["tasks"]) == set(entry["tasks"]), "requests of other tasks are refused"
    assert "127.0.0.1" in yaml.safe_dump(entry), "reachable through Enginehouse only"


def test_recipes_hide_their_tokens_from_other_users() -> None:
    shown = {entry["id"] for entry in documented_recipes() if "TOKEN" in entry["options"]["cmd"]}
    assert shown == {"sglang"}, "it takes its key from the command line only"


def test_shipped_recipes_are_the_documented_ones() -> None:
    recipes = documented_recipes()
    shipped = [entry for entry in commented_entries() if entry["engine"] == "command"]
    assert {entry["id"] for entry in shipped} == {"llama-cpp", "vllm"}
    assert all(entry in recipes for entry in shipped)


def test_without_a_file_models_need_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models = config.load(environ={}).models
    assert [(m.id, m.default) for m in models] == [("ocr", ("ocr",)), ("minilm", ("embeddings",))]
    assert all(describe.entry(m)["error"] is None for m in models)


def test_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    missing = tmp_path / "mine.yaml"
    with pytest.raises(ConfigError, match=r"mine\.yaml does not exist"):
        config.load(environ={"ENGINEHOUSE_CONFIG": str(missing)})


def test_empty_file_means_no_models(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert config.load(tmp_path / "config.yaml", {}).models == ()


@pytest.mark.parametrize(("source", "expected"), [("./m/x", "folder/m/x"), ("../m", "m")])
def test_relative_source_starts_at_the_file(tmp_path: Path, source: str, expected: str) -> None:
    file = tmp_path / "folder" / "config.yaml"
    file.parent.mkdir()
    file.write_text(f"models: [{{id: a, engine: transformers_chat, source: {source}}}]")
    assert config.load(file, {}).models[0].source == str(tmp_path / expected)


def test_hub_id_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("models: [{id: a, engine: transformers_chat, source: Qwen/Qwen2.5-VL-7B-Instruct}]")
    assert config.load(file, {}).models[0].source == "Qwen/Qwen2.5-VL-7B-Instruct"
