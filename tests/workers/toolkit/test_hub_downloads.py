"""Downloads from a hub that fails: nothing that is broken counts as present, and errors name what is wrong."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.config import ModelSpec
from contract.errors import DiskFull, FileDamaged, LoadFailed, ModelGated
from contract.hub_cache import repository_folder, resumable_file, unverified_mark
from manager.models.downloads import downloaded, local_copy
from scripts.testbed import hub
from tests.support import hub_repositories
from workers.toolkit import hub_downloads, snapshots
from workers.toolkit.hub_downloads import remove_abandoned

WEIGHTS = "a/model/model.safetensors"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hub.Hub]:
    names = ("a/model", "a/gated", "facebook/sam3")
    folders = hub_repositories.make(tmp_path_factory.mktemp("hub"), dict.fromkeys(names, hub_repositories.MODEL))
    with hub.serve(folders, gated=frozenset({"a/gated", "facebook/sam3"})) as running:
        yield running


@pytest.fixture(autouse=True)
def _client(served: hub.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    hub_repositories.use_in_this_process(served, tmp_path, monkeypatch)
    served.requests.clear()
    served.ranges.clear()
    yield
    served.faults.clear()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HF_HOME": str(tmp_path)}


SPEC = ModelSpec(id="m", engine="transformers_chat", source="a/model")


def names_in(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_only_what_an_engine_reads_is_downloaded(served: hub.Hub, environ: dict[str, str]) -> None:
    assert names_in(snapshots.folder("a/model")) == {"config.json", "model.safetensors"}
    assert local_copy(SPEC, environ).downloaded is True
    assert local_copy(SPEC, environ).disk_bytes > 400_000  # and the hub client's list of files


@pytest.mark.parametrize(
    ("paths", "needed"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["pytorch_model.bin", "tf_model.h5"], ["pytorch_model.bin"]),
        (["model_index.json", "v1-5.safetensors", "unet/x.safetensors"], ["model_index.json", "unet/x.safetensors"]),
        (["unet/x.fp16.safetensors", "unet/x.safetensors"], ["unet/x.safetensors"]),
    ],
)
def test_weights_are_needed_in_one_format(paths: list[str], needed: list[str]) -> None:
    assert list(snapshots.wanted("a/model").choose(paths)) == needed


def test_connection_cut_in_the_middle_is_resumed(served: hub.Hub, environ: dict[str, str]) -> None:
    served.faults[WEIGHTS] = "cut"
    path = snapshots.folder("a/model") / "model.safetensors"
    assert path.read_bytes() == (served.folders["a/model"] / "model.safetensors").read_bytes()
    assert sum(request.startswith("GET") and request.endswith("model.safetensors") for request in served.requests) == 2
    assert downloaded(SPEC, environ) is True


def test_damaged_file_is_named_and_does_not_count(served: hub.Hub, environ: dict[str, str]) -> None:
    served.faults[WEIGHTS] = "damaged"
    with pytest.raises(FileDamaged, match=r"model\.safetensors of a/model arrived damaged") as raised:
        snapshots.folder("a/model")
    assert list(raised.value.details["files"]) == ["model.safetensors"]
    assert downloaded(SPEC, environ) is False
    served.faults.clear()
    assert names_in(snapshots.folder("a/model")) == {"config.json", "model.safetensors"}
    assert downloaded(SPEC, environ) is True


@pytest.mark.parametrize(("name", "content"), [("config.json", b""), ("model.safetensors", b"half")])
def test_cut_file_is_named_and_fetched_again(
    served: hub.Hub, environ: dict[str, str], caplog: pytest.LogCaptureFixture, name: str, content: bytes
) -> None:
    path = snapshots.folder("a/model") / name
    whole = path.read_bytes()
    path.resolve().write_bytes(content)  # as a machine leaves it whose power fails
    assert downloaded(SPEC, environ) is False
    served.requests.clear()
    assert (snapshots.folder("a/model") / name).read_bytes() == whole
    assert f"{name} of a/model has {len(content)} bytes instead of {len(whole)}" in caplog.text
    assert downloaded(SPEC, environ) is True
    served.requests.clear()
    snapshots.folder("a/model")
    assert not served.requests, "complete, so the hub is not asked"


def test_crash_before_verification_does_not_count(served: hub.Hub, environ: dict[str, str]) -> None:
    path = snapshots.folder("a/model")
    mark = unverified_mark(path.parents[1], path.name)
    mark.touch()  # as a killed process leaves it
    config = (path / "config.json").resolve()
    config.write_bytes(b" " * config.stat().st_size)  # not cut, which its size would show
    assert downloaded(SPEC, environ) is False
    assert local_copy(SPEC, environ).partly
    with pytest.raises(FileDamaged, match=r"config\.json of a/model"):
        snapshots.folder("a/model")
    snapshots.folder("a/model")
    assert not mark.exists()
    assert downloaded(SPEC, environ) is True


def test_room_is_checked_before_anything_is_fetched(served: hub.Hub, environ: dict[str, str]) -> None:
    served.faults[WEIGHTS] = "huge"
    with pytest.raises(DiskFull, match=r"needs .* GB more, and .* has .* GB free") as raised:
        snapshots.folder("a/model")
    assert raised.value.details["needed_bytes"] > raised.value.details["free_bytes"] > 0
    assert not [request for request in served.requests if "/resolve/" in request]
    assert downloaded(SPEC, environ) is False


@pytest.mark.parametrize("place", ["_only_one", "remove_abandoned"])
def test_used_up_quota_is_explained_wherever_it_is_met(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def refuse(_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(hub_downloads, place, refuse)
    with pytest.raises(
        DiskFull, match=r"needs 0\.4 MB more, .* free, but no more can be written there: a quota"
    ) as full:
        snapshots.folder("a/model")
    assert full.value.headers == {"x-should-retry": "false"}


def test_gated_model_names_terms_and_token(served: hub.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelGated, match=r"accept its terms \(SAM License\) at .*/facebook/sam3 .*No token is set"):
        snapshots.folder("facebook/sam3")
    monkeypatch.setenv("HF_TOKEN", "hf_of_another")
    with pytest.raises(ModelGated, match=r"accept its terms at .*an account that has not accepted them"):
        snapshots.folder("a/gated")
    monkeypatch.setenv("HF_TOKEN", hub.TOKEN)
    assert (snapshots.folder("a/gated") / "model.safetensors").exists()


def test_expired_token_is_named(served: hub.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.EXPIRED)
    with pytest.raises(LoadFailed, match=r"refuses the token that is set: it has expired.* that are public need none"):
        snapshots.folder("a/model")
    assert len(served.requests) == 1


def test_gated_file_is_asked_for_once(served: hub.Hub) -> None:
    with pytest.raises(ModelGated):
        snapshots.folder("a/gated")
    assert sum("/resolve/" in request for request in served.requests) == 1


@pytest.mark.parametrize(("size", "ranges"), [(1, ["bytes=1-"]), (200_000, []), (300_000, [])])
def test_partial_file_of_any_length_ends_well(served: hub.Hub, tmp_path: Path, size: int, ranges: list[str]) -> None:
    folder = repository_folder(tmp_path / "hub", "a/model")
    content = (served.folders["a/model"] / "model.safetensors").read_bytes()
    partial = resumable_file(folder, hashlib.sha256(content).hexdigest())
    partial.parent.mkdir(parents=True)
    partial.write_bytes((content * 2)[:size])
    assert (snapshots.folder("a/model") / "model.safetensors").read_bytes() == content
    assert served.ranges == ranges
    assert not partial.exists()


def test_partial_file_with_other_content_is_found_out(served: hub.Hub, tmp_path: Path) -> None:
    content = (served.folders["a/model"] / "model.safetensors").read_bytes()
    partial = resumable_file(repository_folder(tmp_path / "hub", "a/model"), hashlib.sha256(content).hexdigest())
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(1000))
    with pytest.raises(FileDamaged, match=r"model\.safetensors of a/model arrived damaged"):
        snapshots.folder("a/model")
    assert (snapshots.folder("a/model") / "model.safetensors").read_bytes() == content


def test_partial_files_are_kept_as_long_as_they_may_be_continued(tmp_path: Path) -> None:
    ours, others = resumable_file(tmp_path, "0" * 64), tmp_path / "blobs" / f"{'0' * 64}.8f613482.incomplete"
    ours.parent.mkdir()
    for age, kept in ((60, {ours, others}), (3600, {ours}), (30 * 86400, set())):
        for partial in (ours, others):
            partial.touch()
            os.utime(partial, (time.time() - age,) * 2)
        remove_abandoned(tmp_path)
        assert set(ours.parent.iterdir()) == kept


def test_one_file_of_a_repository_counts_once_it_is_there(served: hub.Hub, environ: dict[str, str]) -> None:
    spec = SPEC.model_copy(update={"source": "a/model/onnx/model.onnx"})
    assert downloaded(spec, environ) is False
    assert snapshots.file(spec.source).exists()
    assert downloaded(spec, environ) is True
    served.requests.clear()
    assert snapshots.file(spec.source).exists()
    assert served.requests == []
