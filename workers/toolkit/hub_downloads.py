"""Downloads files of a hub repository: one process at a time, with room for them checked first and checksums after.

The hub's client compares sizes only, so every file that it fetches is hashed here. A mark beside the snapshot says that
this is still to be done, and whatever finds the mark does not count the snapshot as downloaded.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import DiskFull, FileDamaged
from contract.hub_cache import download_lock, is_resumable, partial_files, repository_folder, unverified_mark
from workers.toolkit import hub_files
from workers.toolkit.hub_files import WantedFile

log = logging.getLogger(__name__)

_CHUNK = 128 * 1024
"""Bytes after which the hub's client writes what it has received. Its own 10 MiB make a slow link look stalled."""
_ABANDONED = 900.0
"""Seconds after which another program's partial file that does not grow is removed: that program has been killed."""
_RESUMABLE = 7 * 86400.0
"""Seconds for which a partial file of ours is kept, for an attempt that continues it."""

FileChoice = Callable[[Sequence[str]], Sequence[str]]
"""Chooses from the paths of all files of a repository those that are needed."""


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """What is to be downloaded: files of one commit, into the repository's folder in the cache."""

    repository: str
    commit: str
    folder: Path
    files: tuple[WantedFile, ...]

    @property
    def total(self) -> int:
        return sum(file.size for file in self.files)

    def local(self, file: WantedFile) -> Path:
        """Where the file is, or will be."""
        return self.folder / "snapshots" / self.commit / file.path

    def missing(self) -> list[WantedFile]:
        """The files that are not complete on this machine."""
        return [file for file in self.files if not _is_whole(self.local(file), file)]

    def done(self) -> int:
        """Bytes on the disk, those of a download by another process included."""
        return sum(self._received(file) for file in self.files)

    def _received(self, file: WantedFile) -> int:
        if _is_whole(self.local(file), file) or _is_whole(self.folder / "blobs" / file.blob, file):
            return file.size
        return max((_size(partial) for partial in partial_files(self.folder, file.blob)), default=0)

    def receiving(self) -> str | None:
        """The file that is being received; of several at once, the one that has the most bytes."""
        received = {file.path: self._received(file) for file in self.to_receive()}
        return max(received, key=lambda path: received[path], default=None)

    def to_receive(self) -> list[WantedFile]:
        """The missing files whose content is not there under another name either."""
        return [file for file in self.missing() if not _is_whole(self.folder / "blobs" / file.blob, file)]


@dataclass(slots=True)
class DownloadProgress:
    """How far a download is; another thread may read it at any time."""

    phase: str = "listing"
    plan: DownloadPlan | None = None
    hashed: int = 0
    to_hash: int = 0
    hashing: str | None = None

    def report(self) -> dict[str, Any]:
        """`phase`, `done` of `total` bytes, and the `file` that is received or verified."""
        if self.plan is None:
            return {"phase": self.phase, "done": 0, "total": None, "file": None}
        if self.phase == "verifying":
            return {"phase": self.phase, "done": self.hashed, "total": self.to_hash, "file": self.hashing}
        done, total = self.plan.done(), self.plan.total
        return {"phase": self.phase, "done": done, "total": total, "file": self.plan.receiving()}

    def add_hashed(self, count: int) -> None:
        self.hashed += count


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files of which repository are wanted, and where progress is noted."""

    repository: str
    revision: str | None
    choose: FileChoice
    progress: DownloadProgress = field(default_factory=DownloadProgress)

    def fetch(self) -> Path:
        """Download what is missing, and return the snapshot's folder. Raises the errors of huggingface_hub as well.

        Raises DiskFull, mostly before it begins; FileDamaged if a file is not what the hub says it is.
        """
        self.progress.plan = plan = self._plan()
        try:
            return self._fetch(plan)
        except OSError as error:
            if full := _disk_error(error, self.progress.plan):
                raise full from None
            raise

    def _fetch(self, plan: DownloadPlan) -> Path:
        progress = self.progress
        progress.phase = "waiting"  # another process may be downloading the same
        with _only_one(plan):
            while True:
                progress.phase = "downloading"
                remove_abandoned(plan.folder)
                _check_space(plan)
                if self._download(plan) == plan.commit:
                    return plan.folder / "snapshots" / plan.commit
                progress.plan = plan = self._plan()  # the branch has moved meanwhile

    def _plan(self) -> DownloadPlan:
        from huggingface_hub import HfApi, constants
        from huggingface_hub.hf_api import RepoFile

        api = HfApi()
        commit = str(api.repo_info(self.repository, revision=self.revision).sha)
        entries = api.list_repo_tree(self.repository, recursive=True, revision=commit)
        files = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
        chosen = (files[path] for path in self.choose(list(files)))
        folder = repository_folder(Path(constants.HF_HUB_CACHE), self.repository)
        return DownloadPlan(self.repository, commit, folder, tuple(_wanted_file(entry) for entry in chosen))

    def _download(self, plan: DownloadPlan) -> str:
        """Download and verify. Returns the commit that the hub's client has chosen, which links what is received."""
        from huggingface_hub import constants, snapshot_download

        constants.DOWNLOAD_CHUNK_SIZE = _CHUNK
        mark = unverified_mark(plan.folder, plan.commit)
        unverified = plan.files if mark.exists() else plan.missing()
        if unverified:
            plan.folder.mkdir(parents=True, exist_ok=True)
            mark.touch()
        _remove_cut_files(plan)
        names = [glob.escape(file.path) for file in plan.files]
        hub_files.receive(self.repository, plan.commit, plan.folder, plan.to_receive())
        path = Path(snapshot_download(self.repository, revision=self.revision, allow_patterns=names))
        if path.name == plan.commit:
            self._verify(plan, unverified)
            mark.unlink(missing_ok=True)
            self.progress.phase = "done"
        return path.name

    def _verify(self, plan: DownloadPlan, files: Sequence[WantedFile]) -> None:
        """Compare the files with their checksums. What is damaged is removed, so that the next attempt fetches it."""
        self.progress.hashed, self.progress.to_hash = 0, sum(file.size for file in files)
        self.progress.phase = "verifying"
        damaged: dict[str, dict[str, str]] = {}
        for file in files:
            self.progress.hashing, local = file.path, plan.local(file)
            if (actual := file.hash_of(local, self.progress.add_hashed)) != file.blob:
                damaged[file.path] = {"expected": file.blob, "actual": actual}
                local.resolve().unlink(missing_ok=True)
                local.unlink(missing_ok=True)
        if damaged:
            names = " and ".join(damaged)
            message = (
                f"{names} of {plan.repository} arrived damaged: the checksum is not the one that the hub states. "
                "The file is removed; download the model again, and look at proxies on the way if this repeats."
            )
            raise FileDamaged(message, details={"files": damaged})


def _is_whole(path: Path, file: WantedFile) -> bool:
    return path.exists() and path.stat().st_size == file.size


def _remove_cut_files(plan: DownloadPlan) -> None:
    """Remove files that are shorter or longer than the hub states: the hub's client would take them as they are."""
    for file in plan.missing():
        local, blob = plan.local(file), plan.folder / "blobs" / file.blob
        if local.exists():
            size = local.stat().st_size
            log.warning("%s of %s has %d bytes instead of %d: again", file.path, plan.repository, size, file.size)
            local.unlink()
        if blob.exists() and not _is_whole(blob, file):
            blob.unlink()


def _wanted_file(entry: Any) -> WantedFile:
    """A file as the hub lists it."""
    if entry.lfs:
        return WantedFile(entry.path, entry.lfs.size, entry.lfs.sha256, large=True)
    return WantedFile(entry.path, entry.size, entry.blob_id, large=False)


def _check_space(plan: DownloadPlan) -> None:
    """Raise DiskFull if the missing files cannot fit."""
    if plan.total - plan.done() > _free(plan.folder):
        raise _disk_full(plan)


def _disk_error(error: OSError, plan: DownloadPlan) -> DiskFull | None:
    """What an error of the system says about the disk, if it is about that."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _disk_full(plan)
    return _too_large(plan) if error.errno == errno.EFBIG else None


def _disk_full(plan: DownloadPlan) -> DiskFull:
    needed, free = plan.total - plan.done(), _free(plan.folder)
    has = f"{plan.folder.parent} has {_amount(free)} free"
    if needed <= free:
        has += ", but no more can be written there: a quota, or the number of files, is used up"
    message = (
        f"{plan.repository} needs {_amount(needed)} more, and {has}. "
        "Remove models that are not needed (DELETE /api/models/ID), or set HF_HOME to a folder on a larger disk."
    )
    return DiskFull(message, details={"needed_bytes": needed, "free_bytes": free})


def _amount(size: int) -> str:
    """Bytes for people, in a unit in which a small amount does not look like none."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _too_large(plan: DownloadPlan) -> DiskFull:
    largest = max(plan.missing(), key=lambda file: file.size)
    message = (
        f"{plan.folder.parent} does not take files as large as {largest.path} of {plan.repository} "
        f"({_amount(largest.size)}): its file system, or `ulimit -f`, has a lower limit. Set HF_HOME elsewhere."
    )
    return DiskFull(message, details={"file": largest.path, "needed_bytes": largest.size})


def _free(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free


@contextmanager
def _only_one(plan: DownloadPlan) -> Iterator[None]:
    """Let one process at a time download this repository. The system releases the lock of a process that ends."""
    path = download_lock(plan.folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_abandoned(folder: Path) -> None:
    """Remove partial files that no attempt has continued for long."""
    for partial in partial_files(folder):
        kept = _RESUMABLE if is_resumable(partial) else _ABANDONED
        with suppress(OSError):
            if time.time() - partial.stat().st_mtime > kept:
                partial.unlink()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # it was completed meanwhile
        return 0
