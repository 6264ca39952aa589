"""Files in the model folders become models by their SHA-256, and stop being models when they are gone."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from contract.config import ManagerSettings, ModelSpec
from manager.events import EventLog
from manager.models.folders import ModelFolders, entries_of
from manager.models.model_files import ModelFile
from tests.support.spawning import eventually

HOUR_AGO = time.time() - 3600


class Folders:
    """Model folders in a temporary folder, that are watched while `running`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings = ManagerSettings(model_dirs=("ai-models",), model_scan_interval=0.02)
        self.events = EventLog()
        self.changes: list[list[str]] = []
        (home / "ai-models").mkdir()
        self.folders = self.restarted()

    def restarted(self) -> ModelFolders:
        return ModelFolders(self.home / "hashes.json", self.home)

    def put(self, name: str, content: bytes, *, age: float = HOUR_AGO) -> str:
        """Write a file, and return the hash of its content."""
        path = self.home / "ai-models" / name
        path.write_bytes(content)
        os.utime(path, (age, age))
        return hashlib.sha256(content).hexdigest()

    async def on_change(self) -> None:
        self.changes.append(self.names())

    def names(self) -> list[str]:
        return [file.path.name for file in self.folders.files.values()]

    def are(self, names: tuple[str, ...]) -> bool:
        """Whether these files are models, and that was said."""
        said = self.changes[-1] if self.changes else None
        return said is not None and sorted(said) == sorted(self.names()) == sorted(names)

    async def until(self, *names: str) -> None:
        """Watch until exactly these files are models."""
        watching = asyncio.create_task(self.folders.watch(lambda: self.settings, self.events, self.on_change))
        try:
            await eventually(f"the models are {names}", lambda: self.are(names))
        finally:
            watching.cancel()
            await asyncio.wait({watching})


@pytest.fixture
def watched(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


async def test_file_becomes_a_model_named_by_its_hash(watched: Folders) -> None:
    digest = watched.put("a.ckpt", b"a" * 10_000_000)
    await watched.until("a.ckpt")

    assert list(watched.folders.files) == [digest]
    assert watched.changes == [["a.ckpt"]]
    assert [event.type for event in watched.events._history][-1] == "hashed"
    assert watched.folders.status().model_dump() == {
        "folders": [str(watched.home / "ai-models")],
        "missing": [],
        "files": 1,
        "hashing": None,
        "hashed_bytes": 0,
        "total_bytes": 0,
        "waiting": 0,
    }


async def test_hash_is_known_after_a_restart(watched: Folders) -> None:
    digest = watched.put("a.ckpt", b"a")
    await watched.until("a.ckpt")
    restarted = watched.restarted()

    assert restarted.scan(watched.settings)
    assert list(restarted.files) == [digest]
    assert restarted.status().waiting == 0


async def test_changed_file_is_another_model(watched: Folders) -> None:
    old = watched.put("a.ckpt", b"old")
    await watched.until("a.ckpt")
    new = watched.put("a.ckpt", b"new and longer", age=HOUR_AGO + 1)
    assert watched.folders.scan(watched.settings)
    assert watched.names() == [], "its new hash is not known yet"
    await watched.until("a.ckpt")

    assert list(watched.folders.files) == [new] != [old]


async def test_removed_file_is_no_model(watched: Folders) -> None:
    watched.put("a.ckpt", b"a")
    watched.put("b.ckpt", b"b")
    await watched.until("a.ckpt", "b.ckpt")
    (watched.home / "ai-models" / "a.ckpt").unlink()
    await watched.until("b.ckpt")

    assert list(json.loads((watched.home / "hashes.json").read_text())) == [str(watched.home / "ai-models" / "b.ckpt")]


async def test_hashes_outlive_a_folder_that_is_not_mounted(watched: Folders) -> None:
    watched.put("a.ckpt", b"a")
    await watched.until("a.ckpt")
    shutil.move(watched.home / "ai-models", watched.home / "unmounted")
    await watched.until()
    shutil.move(watched.home / "unmounted", watched.home / "ai-models")

    assert watched.restarted().scan(watched.settings), "no hash is computed again"


async def test_growing_file_is_not_a_model_yet(watched: Folders) -> None:
    watched.settings = watched.settings.model_copy(update={"model_scan_interval": 3600})
    watched.put("copied.ckpt", b"half", age=time.time())
    assert not watched.folders.scan(watched.settings)
    watched.put("copied.ckpt", b"half and half", age=time.time())
    assert not watched.folders.scan(watched.settings)
    assert watched.folders.status().waiting == 0

    watched.folders.scan(watched.settings)
    assert watched.folders.status().waiting == 1, "unchanged since the scan before"


async def test_part_of_a_safetensors_file_is_not_a_model(watched: Folders) -> None:
    header = json.dumps({"w": {"dtype": "U8", "shape": [100], "data_offsets": [0, 100]}}).encode()
    content = len(header).to_bytes(8, "little") + header + b"x" * 100
    watched.put("b.safetensors", content[:-1])
    watched.put("a.ckpt", b"a")
    await watched.until("a.ckpt")
    watched.put("b.safetensors", content)
    await watched.until("a.ckpt", "b.safetensors")


async def test_copies_are_one_model_and_the_copy_stays(watched: Folders) -> None:
    digest = watched.put("a.ckpt", b"same")
    watched.put("b.ckpt", b"same")
    await watched.until("a.ckpt")
    (watched.home / "ai-models" / "a.ckpt").unlink()
    await watched.until("b.ckpt")

    assert list(watched.folders.files) == [digest]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a file, for root too")
async def test_unreadable_file_is_reported_once(watched: Folders, caplog: pytest.LogCaptureFixture) -> None:
    (watched.home / "ai-models" / "bad.ckpt").symlink_to("/proc/self/mem")  # its first byte cannot be read
    watched.folders.scan(watched.settings)
    watched.folders.scan(watched.settings)
    watched.put("a.ckpt", b"a")
    await watched.until("a.ckpt")

    assert caplog.text.count("cannot be read") == 1


def test_missing_folder_is_reported_once(watched: Folders, caplog: pytest.LogCaptureFixture) -> None:
    settings = ManagerSettings(model_dirs=("absent", "ai-models"))
    watched.folders.scan(settings)
    watched.folders.scan(settings)

    assert caplog.text.count("absent, a folder of manager.model_dirs, does not exist") == 1
    assert watched.folders.status().missing == [str(watched.home / "absent")]


def test_default_folder_may_be_absent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders = ModelFolders(tmp_path / "hashes.json", tmp_path)
    folders.scan(ManagerSettings())

    assert caplog.text == ""
    assert folders.status().missing == []


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}', '{"a": [1, 2]}', "\0"])
def test_damaged_hashes_are_computed_again(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "hashes.json").write_text(content)
    ModelFolders(tmp_path / "hashes.json", tmp_path).scan(ManagerSettings())

    assert "hashed again" in caplog.text


def test_alias_is_the_files_name_if_it_is_unique() -> None:
    files = {
        id_: ModelFile(Path("/models") / path, path, 1, 1)
        for id_, path in [("1", "x/same.pt"), ("2", "y/same.pt"), ("3", "own.pt"), ("4", "taken.pt"), ("5", "5.pt")]
    }
    entries = entries_of(files, {"taken.pt", "5"})

    assert [(entry.id, entry.aliases) for entry in entries] == [("1", ()), ("2", ()), ("3", ("own.pt",)), ("4", ())]
    assert entries[2] == ModelSpec(id="3", engine="diffusers_image", source="/models/own.pt", aliases=("own.pt",))
