"""Which files in a folder are models, and whether all of a file is there."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from contract.config import ModelSpec
from manager.models.model_files import ModelFile, file_of, find_files, is_whole


def put(path: Path, content: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def shown(folder: Path) -> list[str]:
    return [file.shown for file in find_files([folder])]


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin", ".safetensors"])
def test_weight_files_are_found_in_subfolders_too(tmp_path: Path, suffix: str) -> None:
    put(tmp_path / "ai-models" / f"a{suffix}")
    put(tmp_path / "ai-models" / "sd" / "xl" / f"b c{suffix}")
    put(tmp_path / "ai-models" / "notes.txt")

    assert shown(tmp_path / "ai-models") == [f"ai-models/a{suffix}", f"ai-models/sd/xl/b c{suffix}"]


@pytest.mark.parametrize(
    "name",
    [
        ".model.safetensors.x7Q2",  # as rsync names it
        ".hidden.safetensors",
        "model.safetensors.part",
        "model-00001-of-00002.safetensors",
        "repository/model.safetensors",
        "repository/unet/model.safetensors",
        "1/2/3/4/5/6/deep.safetensors",
    ],
)
def test_other_files_are_no_models(tmp_path: Path, name: str) -> None:
    put(tmp_path / "repository" / "model_index.json")
    put(tmp_path / name)

    assert shown(tmp_path) == []


def test_links_are_followed_and_counted_once(tmp_path: Path) -> None:
    real = put(tmp_path / "elsewhere" / "model.ckpt")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.ckpt").symlink_to(real)
    (folder / "again.ckpt").symlink_to(real)
    (folder / "broken.ckpt").symlink_to(tmp_path / "nothing")
    (folder / "loop").symlink_to(folder)

    assert shown(folder) == ["folder/again.ckpt"]


def test_absent_and_unreadable_folders_have_no_files(tmp_path: Path) -> None:
    assert find_files([tmp_path / "absent", put(tmp_path / "file.ckpt")]) == []


def test_safetensors_file_is_whole_with_its_last_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": np.zeros(1000, np.float32)}, path)
    content = path.read_bytes()

    assert is_whole(path)
    for length in (0, 7, 20, len(content) - 1):
        assert not is_whole(put(tmp_path / "part.safetensors", content[:length])), length


@pytest.mark.parametrize(
    "header", [b"[]", b'{"w": 1}', b'{"w": {"data_offsets": "x"}}', b"\xff", b'{"w": {"data_offsets": [0]}}']
)
def test_damaged_safetensors_file_is_not_whole(tmp_path: Path, header: bytes) -> None:
    assert not is_whole(put(tmp_path / "a.safetensors", len(header).to_bytes(8, "little") + header))


def test_checkpoint_of_torch_is_whole_with_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", json.dumps(list(range(1000))))

    assert is_whole(path)
    assert not is_whole(put(tmp_path / "part.ckpt", path.read_bytes()[:-30]))


def test_entry_whose_source_is_a_file_has_that_file(tmp_path: Path) -> None:
    path = put(tmp_path / "style.safetensors")
    spec = ModelSpec(id="m", engine="diffusers_image", source=str(path))

    assert file_of(spec) == ModelFile.of(path)
    assert ModelFile.of(path).status.model_dump() == {
        "name": "style.safetensors",
        "path": str(path),
        "size": 7,
        "extension": ".safetensors",
    }
    assert file_of(spec.model_copy(update={"source": str(tmp_path)})) is None
