"""Finds the single weight files in the folders of `manager.model_dirs`."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.config import ModelSpec
from contract.status import ModelFileStatus
from manager.models.weights import locate

SUFFIXES = frozenset({".ckpt", ".pt", ".pth", ".bin", ".safetensors"})
"""Suffixes of the files that are listed as models."""

MAX_DEPTH = 5
"""Levels of folders that are looked into below a configured one."""

_REPOSITORY = frozenset({"config.json", "model_index.json"})
"""A folder with one of these files is a model as a whole; its weight files are not models of their own."""

_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_MAX_HEADER = 100 * 2**20  # bytes; the safetensors library's own limit


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A weight file: its size in bytes, when it was changed, and its path as clients see it."""

    path: Path
    shown: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path, shown: str | None = None) -> ModelFile:
        """The file at a path. Raises OSError."""
        stat = path.stat()
        return cls(path, shown or str(path), stat.st_size, stat.st_mtime_ns)

    @property
    def status(self) -> ModelFileStatus:
        """The file as the lists of models show it."""
        return ModelFileStatus(name=self.path.name, path=self.shown, size=self.size, extension=self.path.suffix)


def file_of(spec: ModelSpec) -> ModelFile | None:
    """The file that is a whole entry's model; None for a folder, and for what is not on this machine."""
    try:
        path = None if spec.is_external else locate(spec)
        return ModelFile.of(path) if path and path.is_file() else None
    except OSError:  # a folder that this user may not read
        return None


def find_files(folders: Iterable[Path]) -> list[ModelFile]:
    """The weight files in the folders, each once. Folders and files that cannot be read are left out."""
    files: dict[Path, ModelFile] = {}
    for folder in folders:
        for path in _walk(folder, set(), MAX_DEPTH):
            shown = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            try:
                files.setdefault(path.resolve(), ModelFile.of(path, shown))
            except OSError:  # removed meanwhile, or a link to nothing
                continue
    return sorted(files.values(), key=lambda file: file.path)


def is_whole(path: Path) -> bool:
    """Whether a file has all of its bytes, as far as its format says how many there should be. Raises OSError."""
    if path.suffix == ".safetensors":
        return _safetensors_size(path) == path.stat().st_size
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    return not is_zip or zipfile.is_zipfile(path)  # a zip's directory is at its end


def _walk(folder: Path, above: set[Path], depth: int) -> Iterator[Path]:
    real = folder.resolve()
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    if real in above or any(entry.name in _REPOSITORY for entry in entries):
        return
    for entry in entries:
        path = Path(entry)
        if entry.name.startswith("."):  # also how rsync and others name a file while they copy it
            continue
        if depth and entry.is_dir():
            yield from _walk(path, above | {real}, depth - 1)
        elif path.suffix in SUFFIXES and not _SHARD.search(path.stem) and entry.is_file():
            yield path


def _safetensors_size(path: Path) -> int:
    """Bytes that the file should have, from its header; -1 if it has none."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _MAX_HEADER:
            return -1
        header = file.read(length)
    try:
        tensors = [tensor for name, tensor in json.loads(header).items() if name != "__metadata__"]
        return 8 + length + max((int(tensor["data_offsets"][1]) for tensor in tensors), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return -1
