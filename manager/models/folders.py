"""Watches the folders of `manager.model_dirs`: each weight file in them is a model, whose id is its SHA-256."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Mapping
from pathlib import Path

from contract.config import ConfigError, ManagerSettings, ModelSpec
from contract.status import ModelFolderStatus
from manager.events import EventLog
from manager.models.file_hashes import FileHashes, Hashing
from manager.models.model_files import ModelFile, find_files, is_whole

log = logging.getLogger(__name__)

ENGINE = "diffusers_image"
"""What serves the files: it finds a checkpoint's family by its weights."""

REPORT_INTERVAL = 5.0
"""Seconds between two events about the progress of one file."""


class ModelFolders:
    """The weight files in the configured folders. `files`: those that are models now, by their SHA-256."""

    def __init__(self, hashes: Path, base: Path) -> None:
        self.files: dict[str, ModelFile] = {}
        self._base = base  # relative folders are below it
        self._hashes = FileHashes(hashes)
        self._hashing: Hashing | None = None
        self._seen: dict[Path, ModelFile] = {}  # by the last scan
        self._queue: list[ModelFile] = []  # to be hashed
        self._unreadable: set[Path] = set()  # and reported
        self._missing: set[Path] = set()
        self._folders: list[Path] = []

    def scan(self, settings: ManagerSettings) -> bool:
        """Look at the folders, and queue new files to be hashed; whether `files` has changed. Reads the disk."""
        self._folders = [self._base / Path(folder).expanduser() for folder in settings.model_dirs]
        self._report_missing(explicit="model_dirs" in settings.model_fields_set)
        found = find_files(self._folders)
        settled = [file for file in found if self._is_settled(file, settings.model_scan_interval)]
        self._seen = {file.path: file for file in found}
        self._hashes.keep(found)
        hashed = [(self._hashes.get(file), file) for file in settled]
        self._queue = [file for digest, file in hashed if digest is None]
        files: dict[str, ModelFile] = {}
        for digest, file in hashed:
            if digest:
                files.setdefault(digest, file)  # a copy of another file is the same model
        changed, self.files = files != self.files, files
        return changed

    async def watch(
        self, settings: Callable[[], ManagerSettings], events: EventLog, on_change: Callable[[], Awaitable[object]]
    ) -> None:
        """Scan at the configured interval, and hash what is new, forever. A failed `on_change` is logged."""
        try:
            while True:
                await self._rescan(settings(), on_change)
                for file in self._queue:  # a scan makes a new list
                    await self._hash(file, events)
                    await self._rescan(settings(), on_change)
                await asyncio.sleep(settings().model_scan_interval)
        finally:
            if self._hashing:
                self._hashing.stop()

    def status(self) -> ModelFolderStatus:
        """What the status page says of the folders."""
        hashing = self._hashing
        return ModelFolderStatus(
            folders=[str(folder) for folder in self._folders if folder not in self._missing],
            missing=[str(folder) for folder in self._folders if folder in self._missing],
            files=len(self.files),
            hashing=hashing.file.shown if hashing else None,
            hashed_bytes=hashing.done if hashing else 0,
            total_bytes=hashing.file.size if hashing else 0,
            waiting=len(self._queue),
        )

    async def _rescan(self, settings: ManagerSettings, on_change: Callable[[], Awaitable[object]]) -> None:
        if not await asyncio.to_thread(self.scan, settings):
            return
        try:
            await on_change()
        except ConfigError as error:
            log.error("the model files are not listed yet, because the configuration is invalid: %s", error)

    def _is_settled(self, file: ModelFile, interval: float) -> bool:
        """Whether a file is no longer being copied: it has not changed for a while, and has all of its bytes."""
        age = time.time() - file.mtime_ns / 1e9
        if age < interval and self._seen.get(file.path) != file:
            return False
        try:
            return self._hashes.get(file) is not None or is_whole(file.path)
        except OSError as error:
            self._report_unreadable(file, error)
            return False

    async def _hash(self, file: ModelFile, events: EventLog) -> None:
        self._hashing = hashing = Hashing(file)
        work = asyncio.create_task(asyncio.to_thread(hashing.run))
        try:
            while not (await asyncio.wait({work}, timeout=REPORT_INTERVAL))[0]:
                events.add("hashing", reason=file.shown, bytes=hashing.done, total=file.size)
            if digest := await work:
                self._hashes.add(file, digest)
                events.add("hashed", model=digest, reason=file.shown, bytes=file.size)
        except OSError as error:
            self._report_unreadable(file, error)
        finally:
            hashing.stop()
            self._hashing = None

    def _report_unreadable(self, file: ModelFile, error: OSError) -> None:
        if file.path not in self._unreadable:
            self._unreadable.add(file.path)
            log.warning("%s cannot be read, so it is no model: %s", file.path, error)

    def _report_missing(self, *, explicit: bool) -> None:
        """Log each configured folder that does not exist, once. The default one needs not exist."""
        missing = {folder for folder in self._folders if not folder.is_dir()} if explicit else set()
        for folder in sorted(missing - self._missing):
            log.warning("%s, a folder of manager.model_dirs, does not exist; its models appear once it does", folder)
        self._missing = missing


def entries_of(files: Mapping[str, ModelFile], taken: Container[str]) -> list[ModelSpec]:
    """An entry for each file that has none. Its alias is the file's name, unless that is `taken` or not unique."""
    names = Counter(file.path.name for file in files.values())
    entries = []
    for digest, file in files.items():
        name = file.path.name
        aliases = () if names[name] > 1 or name in taken else (name,)
        if digest not in taken:
            entries.append(ModelSpec(id=digest, engine=ENGINE, source=str(file.path), aliases=aliases))
    return entries
