"""Removes models from this machine: the files of a hub repository, at once and only if nothing needs them."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

from contract.config import ModelSpec
from contract.errors import InvalidField, ModelConflict
from contract.hub_cache import download_lock
from manager.models.downloads import cache_folder

_REMOVED = ".removed-"
"""How the names of folders begin that are being removed."""


def folders_of(specs: Iterable[ModelSpec]) -> list[Path]:
    """The folders in the hub's cache that have files of these entries."""
    folders = (cache_folder(spec) for spec in specs)
    return list(dict.fromkeys(folder for folder in folders if folder and folder.is_dir()))


def why_not(spec: ModelSpec) -> str | None:
    """Why an entry has no files that can be removed; None if it may have some."""
    if spec.is_external:
        return "It is an external server, whose files only its command knows."
    if not spec.source:
        return "Its weights are part of its engine's packages."
    if cache_folder(spec) is None:
        return f"Its `source` is {spec.source}, which Enginehouse did not download; remove that yourself."
    return None


def check_not_shared(folders: Iterable[Path], others: Iterable[ModelSpec]) -> None:
    """Raise ModelConflict, with their names, if other entries have files in these folders."""
    folders = set(folders)
    if sharing := [spec.id for spec in others if cache_folder(spec) in folders]:
        message = f"{', '.join(sharing)} would lose these files too. Remove the entry alone, or those entries first."
        raise ModelConflict(message, details={"shared_with": sharing})


def set_aside(folders: Iterable[Path]) -> list[Path]:
    """Take folders out of the cache, so that from now on their models count as not downloaded. Returns where they are.

    Raises ModelConflict while a program downloads one of them, and InvalidField for a link.
    """
    aside = []
    for folder in folders:
        if folder.is_symlink():
            raise InvalidField(f"{folder} is a link. Remove it and what it points to yourself.", param="files")
        with _locked(folder):
            new = folder.with_name(f"{_REMOVED}{secrets.token_hex(4)}-{folder.name}")
            try:
                folder.rename(new)
            except OSError as error:
                raise InvalidField(f"{folder} cannot be removed: {error}", param="files") from None
        aside.append(new)
    return aside


def remove(aside: Iterable[Path]) -> int:
    """Remove folders that are set aside. Returns the bytes that are free again."""
    freed = 0
    for folder in aside:
        freed += sum(_bytes(folder))
        shutil.rmtree(folder, ignore_errors=True)
    return freed


def remove_leftovers(cache: Path) -> None:
    """Remove what a manager that was killed had set aside."""
    with suppress(OSError):
        remove([folder for folder in cache.iterdir() if folder.name.startswith(_REMOVED)])


def _bytes(folder: Path) -> Iterator[int]:
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                file = os.lstat(os.path.join(root, name))
                if S_ISREG(file.st_mode) and file.st_nlink == 1:  # other programs may have links to a file
                    yield file.st_size


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of downloads, so that none begins meanwhile. Raises ModelConflict if one runs anywhere."""
    path = download_lock(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelConflict(f"A program is downloading to {folder}. Wait until it is done, or end that.") from None
        yield
