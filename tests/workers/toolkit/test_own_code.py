"""Repositories that come with Python code: it never runs without consent, and no other class replaces it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelSpec
from contract.errors import LoadFailed
from tests.conftest import Models
from workers.engine import Device
from workers.failures import load_failure_message
from workers.registry import find_engine
from workers.toolkit import own_code

CPU = Device("cpu", "float32")
SENTENCE = (
    r"comes with Python code of its own, which was not run: .* set `trust_remote_code: true` in the model's entry"
)
TASKS = {"mlx_minilm": ("embeddings",)}


class Repository:
    """A copy of a tiny model with code that leaves a mark when it runs."""

    def __init__(self, original: Path, folder: Path) -> None:
        self.folder, self.mark = folder, folder / "mark"
        shutil.copytree(original, folder)
        (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(self.mark)!r}).touch()\n")

    def change(self, name: str, **values: Any) -> None:
        file = self.folder / name
        file.write_text(json.dumps({**(json.loads(file.read_text()) if file.exists() else {}), **values}))

    def load(self, engine: str, tasks: tuple[str, ...] = ()) -> Any:
        loaded: Any = find_engine(engine)()
        options = {} if engine == "mlx" else {"threads": 1}
        spec = ModelSpec(id="m", engine=engine, source=str(self.folder), tasks=tasks, options=options)
        loaded.load(spec, CPU)
        return loaded


def refusal(repository: Repository, engine: str, tasks: tuple[str, ...] = ()) -> str:
    """What the operator reads."""
    with pytest.raises((LoadFailed, ValueError)) as caught:
        repository.load(engine, tasks)
    return load_failure_message(caught.value, "org/model")


@pytest.mark.parametrize("family", ["mlx_smolvlm", "mlx_lm", "mlx_minilm"])
def test_mlx_runs_no_model_file_without_consent(family: str, models: Models, tmp_path: Path) -> None:
    repository = Repository(models(family), tmp_path / family)
    repository.change("config.json", model_file="own.py")
    with pytest.raises(LoadFailed, match=SENTENCE):
        repository.load("mlx", TASKS.get(family, ()))
    assert not repository.mark.exists()


@pytest.mark.parametrize(
    ("family", "engine", "file", "auto_class", "kind"),
    [
        ("smolvlm", "transformers_chat", "processor_config.json", "AutoProcessor", "processor_class"),
        ("blip", "blip", "config.json", "AutoModelForImageTextToText", "model_type"),
        ("dinov2", "dino", "config.json", "AutoModel", "model_type"),
        ("bge", "sentence_transformers", "config.json", "AutoModel", "model_type"),
        ("ms_marco", "cross_encoder", "config.json", "AutoModelForSequenceClassification", "model_type"),
    ],
)
def test_own_code_is_refused_with_a_sentence(
    family: str, engine: str, file: str, auto_class: str, kind: str, models: Models, tmp_path: Path
) -> None:
    repository = Repository(models(family), tmp_path / family)
    repository.change(file, auto_map={"AutoConfig": "own.Config", auto_class: "own.Own"}, **{kind: "Own"})
    message = refusal(repository, engine)
    assert message.startswith(("org/model comes with Python code", f"{repository.folder} ")), message
    assert not repository.mark.exists()


def test_class_of_a_similar_type_is_no_replacement(models: Models, tmp_path: Path) -> None:
    """As with jina-embeddings-v2: of type `bert`, with code of its own and weights that BERT does not have."""
    from safetensors.numpy import load_file, save_file

    repository = Repository(models("minilm"), tmp_path / "minilm")
    config = next(file for file in repository.folder.rglob("config.json") if "model_type" in file.read_text())
    repository.change(str(config.relative_to(repository.folder)), auto_map={"AutoModel": "own.Own"})
    assert repository.load("sentence_transformers").dimensions  # its weights are those of BERT
    weights = {
        name.replace("attention", "mixer"): value
        for name, value in load_file(config.parent / "model.safetensors").items()
    }
    save_file(weights, config.parent / "model.safetensors", {"format": "pt"})
    with pytest.raises(LoadFailed, match=SENTENCE + r".* \d+ weights are missing \(encoder"):
        repository.load("sentence_transformers")
    assert not repository.mark.exists()


def test_modules_of_its_own_are_refused(models: Models, tmp_path: Path) -> None:
    repository = Repository(models("minilm"), tmp_path / "minilm")
    modules = json.loads((repository.folder / "modules.json").read_text())
    modules[0]["type"] = "own.Transformer"
    (repository.folder / "modules.json").write_text(json.dumps(modules))
    assert refusal(repository, "sentence_transformers").startswith("org/model comes with Python code of its own")
    assert not repository.mark.exists()


@pytest.mark.parametrize("index", [{"_class_name": ["own", "Own"]}, {"unet": ["own", "Own"]}])
def test_pipelines_of_their_own_are_refused(index: dict[str, Any], models: Models, tmp_path: Path) -> None:
    repository = Repository(models("sd"), tmp_path / "sd")
    shutil.copy(repository.folder / "own.py", repository.folder / "unet")
    repository.change("model_index.json", **index)
    assert refusal(repository, "diffusers_image").startswith("org/model comes with Python code of its own")
    assert not repository.mark.exists()


def test_library_that_trusts_by_itself_is_refused(models: Models, tmp_path: Path, model_code: None) -> None:
    """As mlx-vlm's processors of some families do."""
    from transformers import AutoTokenizer

    repository = Repository(models("lm"), tmp_path / "lm")
    repository.change("tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Own", None]}, tokenizer_class="Own")
    spec = ModelSpec(id="m", engine="mlx", source="org/model")
    with own_code.no_code_runs(spec), pytest.raises(LoadFailed, match=SENTENCE):
        AutoTokenizer.from_pretrained(repository.folder, trust_remote_code=True)
    assert not repository.mark.exists()
    with own_code.no_code_runs(spec.model_copy(update={"trust_remote_code": True})), pytest.raises(AttributeError):
        AutoTokenizer.from_pretrained(repository.folder, trust_remote_code=True)  # its code has no such class
    assert repository.mark.exists()
