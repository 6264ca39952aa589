"""Downloads are recognised from the layout that the hub's own client leaves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import huggingface_hub.constants
import pytest
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from contract.config import ModelSpec
from manager.models.downloads import downloaded, of_catalogue, spec_of_hub
from scripts.testbed import hub

REPOSITORIES: Mapping[str, tuple[str, ...]] = {
    "a/model": ("config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "consolidated.safetensors"),
    "a/shards": ("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
    "a/pipeline": (
        "model_index.json",
        "one-file.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
    ),
    "a/pair": ("config.json", "encoder.safetensors", "decoder.safetensors"),
    "Qwen/Qwen2.5-VL-7B-Instruct": ("config.json", "model.safetensors"),
}
SKIPPED = ("*.bin", "onnx/*", "consolidated*", "one-file*")
Download = Callable[[str], Path]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hub.Hub]:
    base = tmp_path_factory.mktemp("hub")
    for name, files in REPOSITORIES.items():
        for file in files:
            (base / name / file).parent.mkdir(parents=True, exist_ok=True)
            (base / name / file).write_text(f"{name} {file}")
    with hub.serve({name: base / name for name in REPOSITORIES}) as running:
        yield running


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HF_HOME": str(tmp_path)}


@pytest.fixture
def download(served: hub.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Download:
    """Downloads with the hub's client, without the files that our workers skip. Returns the snapshot's folder."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", served.url)
    url = served.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
    return lambda name: Path(snapshot_download(name, ignore_patterns=list(SKIPPED)))


def model(source: str, **fields: str) -> ModelSpec:
    return ModelSpec.model_validate({"id": "m", "engine": "transformers_chat", "source": source, **fields})


@pytest.mark.parametrize("source", ["a/model", "a/shards", "a/pipeline", "a/pair"])
def test_a_model_counts_once_it_is_downloaded(source: str, download: Download, environ: dict[str, str]) -> None:
    assert downloaded(model(source), environ) is False
    download(source)
    assert downloaded(model(source), environ) is True
    assert downloaded(model(source, revision=hub.COMMIT), environ) is True
    assert downloaded(model(source, revision="v2"), environ) is False


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("a/model", "model.safetensors"),
        ("a/shards", "model-00002-of-00002.safetensors"),
        ("a/pipeline", "unet/diffusion_pytorch_model.safetensors"),
        ("a/pipeline", "unet"),
        ("a/pair", "decoder.safetensors"),
    ],
)
def test_an_interrupted_download_is_incomplete(
    source: str, missing: str, download: Download, environ: dict[str, str]
) -> None:
    gone = download(source) / missing
    if gone.is_dir():
        shutil.rmtree(gone)
    else:
        gone.unlink()
    assert downloaded(model(source), environ) is False


def test_a_file_that_an_index_names_must_be_there(download: Download, environ: dict[str, str]) -> None:
    snapshot = download("a/pair")
    shutil.rmtree(snapshot.parents[1] / "trees")  # as older clients leave it
    names = {"a.weight": "encoder.safetensors", "b.weight": "decoder.safetensors"}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    assert downloaded(model("a/pair"), environ) is True
    (snapshot / "decoder.safetensors").unlink()
    assert downloaded(model("a/pair"), environ) is False


def test_a_link_without_its_blob_is_incomplete(download: Download, environ: dict[str, str]) -> None:
    (download("a/shards") / "model-00001-of-00002.safetensors").resolve().unlink()
    assert downloaded(model("a/shards"), environ) is False


@pytest.mark.parametrize("name", ["config.json", "model-00002-of-00002.safetensors"])
def test_a_cut_file_is_incomplete(download: Download, environ: dict[str, str], name: str) -> None:
    file = (download("a/shards") / name).resolve()
    file.write_bytes(file.read_bytes()[:3])
    assert downloaded(model("a/shards"), environ) is False


def test_without_a_file_list_the_present_files_count(download: Download, environ: dict[str, str]) -> None:
    snapshot = download("a/pipeline")
    shutil.rmtree(snapshot.parents[1] / "trees")  # as older clients leave it
    assert downloaded(model("a/pipeline"), environ) is True


def test_paths_packages_and_engines_with_own_weights(tmp_path: Path) -> None:
    assert downloaded(model(str(tmp_path))) is True
    assert downloaded(model(str(tmp_path / "not-there"))) is False
    assert downloaded(model("package:pytest")) is True
    assert downloaded(model("package:not_there")) is False
    assert downloaded(ModelSpec(id="ocr", engine="rapidocr")) is True
    assert downloaded(ModelSpec(id="m", engine="command", options={"cmd": "serve ${PORT}"})) is None


def test_an_entry_may_have_its_own_cache(download: Download, environ: dict[str, str]) -> None:
    download("a/model")
    own = ModelSpec(id="m", engine="dino", source="a/model", env={"HF_HOME": environ["HF_HOME"]})
    assert downloaded(own, {"HF_HOME": "/not/there"}) is True


def test_the_catalogues_models_are_looked_up_too(download: Download, environ: dict[str, str]) -> None:
    before = of_catalogue(environ)
    assert (before["ocr"], before["minilm"], before["vlm-best"], before["sam3"]) == (True, True, False, False)
    download("Qwen/Qwen2.5-VL-7B-Instruct")
    assert {id_ for id_, there in of_catalogue(environ).items() if there is not before[id_]} == {"vlm-best"}


_NAMES = ["a/b", "gpt2", "A.b_c/d-e.1", "../b", "../../b", "a/..", "./b", "a/.b", "-a/b", "a/b-", "a--b/c", "a/b.git"]
_STRANGE_NAMES = ["a/b ", "café/model", "a/b\n", "~a/b", "a//b", "/a/b", "a/", "a" * 97]


@pytest.mark.parametrize("name", _NAMES + _STRANGE_NAMES)
def test_hub_ids_are_those_that_the_hubs_client_takes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        validate_repo_id(name)
    except HFValidationError:
        assert spec_of_hub(name) is None
    else:
        assert spec_of_hub(name) is not None


@pytest.mark.parametrize(("name", "is_one"), [("a/b/c/d.gguf", True), ("a/b/../../etc", False), ("a/b//c", False)])
def test_hub_id_may_go_on_with_the_path_of_one_file(name: str, is_one: bool) -> None:
    assert (spec_of_hub(name) is not None) == is_one
