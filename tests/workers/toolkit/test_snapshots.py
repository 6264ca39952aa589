"""Downloads of an entry's `source`, and the error for every reason why one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from contract.errors import LoadFailed
from scripts.testbed import hub
from workers.toolkit import snapshots


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("repository")
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "README.md"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(name)
    return path


@pytest.fixture(scope="module")
def pickled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pickled")
    (path / "config.json").write_text("{}")
    (path / "pytorch_model.bin").write_text("weights")
    return path


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speaking")
    for name in ("config.json", "onnx/model.onnx", "onnx/model_fp16.onnx", "voices/anna.bin"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(name)
    return path


@pytest.fixture
def served(
    folder: Path, pickled: Path, speaking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[hub.Hub]:
    """A local hub, and an empty cache for this process."""
    with hub.serve(
        {"a/model": folder, "a/pickled": pickled, "a/onnx": speaking, "a/gated": folder}, gated=frozenset({"a/gated"})
    ) as running:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", running.url)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.url + _TEMPLATE)
        yield running


_TEMPLATE = "/{repo_id}/resolve/{revision}/{filename}"


def test_local_folder_is_used_as_is(folder: Path) -> None:
    assert snapshots.folder(str(folder)) == folder


def test_downloads_only_the_needed_weights(served: hub.Hub) -> None:
    path = snapshots.folder("a/model")
    names = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    assert names == {"config.json", "model.safetensors", "README.md"}


def test_downloads_pickled_weights_only_without_safetensors(served: hub.Hub) -> None:
    assert (snapshots.folder("a/pickled") / "pytorch_model.bin").read_text() == "weights"


def test_downloads_onnx_weights_only_without_others(served: hub.Hub) -> None:
    path = snapshots.folder("a/onnx")
    names = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    assert names == {"config.json", "onnx/model.onnx", "voices/anna.bin"}


def test_cached_model_needs_no_hub(served: hub.Hub) -> None:
    first = snapshots.folder("a/pickled", hub.COMMIT)
    served.requests.clear()
    assert snapshots.folder("a/pickled", hub.COMMIT) == first
    assert served.requests == []


def test_completes_an_interrupted_download(served: hub.Hub) -> None:
    path = snapshots.folder("a/model")
    (path / "model.safetensors").unlink()
    assert (snapshots.folder("a/model") / "model.safetensors").read_text() == "model.safetensors"


@pytest.mark.parametrize(
    ("source", "revision", "sentence"),
    [
        ("a/nothing", None, "The hub has no model a/nothing"),
        ("a/gated", None, "a/gated is gated: accept its terms"),
        ("a/model", "v9", "has no revision 'v9'"),
        ("/no/such/folder", None, "does not exist: put the model there"),
        ("what is this?", None, "neither a local path nor a hub id"),
    ],
)
def test_error_says_what_to_do(served: hub.Hub, source: str, revision: str | None, sentence: str) -> None:
    with pytest.raises(LoadFailed, match=sentence.replace("?", r"\?")):
        snapshots.folder(source, revision)


def test_unreachable_hub_is_a_temporary_error(
    served: hub.Hub, monkeypatch: pytest.MonkeyPatch, unused_tcp_port_factory: Callable[[], int]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{unused_tcp_port_factory()}")
    with pytest.raises(ConnectionError, match="the hub cannot be reached"):
        snapshots.folder("a/model")
