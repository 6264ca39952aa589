"""Identifies files by the SHA-256 of their content, and remembers it as long as size and time stay the same."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from manager.models.model_files import ModelFile

log = logging.getLogger(__name__)

_PIECE = 4 * 2**20


class FileHashes:
    """Known hashes, kept in a JSON file across restarts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _read(path)

    def get(self, file: ModelFile) -> str | None:
        """The file's hash, if it was computed since the file last changed."""
        size, mtime_ns, digest = self._known.get(str(file.path), (0, 0, None))
        return digest if (size, mtime_ns) == (file.size, file.mtime_ns) else None

    def add(self, file: ModelFile, digest: str) -> None:
        """Remember a file's hash."""
        self._known[str(file.path)] = (file.size, file.mtime_ns, digest)
        self._save()

    def keep(self, files: Iterable[ModelFile]) -> None:
        """Forget removed files: those that are not among `files`, although their folder exists (and is mounted)."""
        gone = [path for path in self._known.keys() - {str(file.path) for file in files} if Path(path).parent.is_dir()]
        for path in gone:
            del self._known[path]
        if gone:
            self._save()

    def _save(self) -> None:
        """A full disk only means that the files are read again after a restart."""
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps(self._known), encoding="utf-8")
            new.replace(self._path)
        except OSError as error:
            log.warning("the hashes of model files could not be saved in %s: %s", self._path, error)


class Hashing:
    """Computes one file's hash in a thread. `done` is the number of bytes read so far."""

    def __init__(self, file: ModelFile) -> None:
        self.file = file
        self.done = 0
        self._stopped = threading.Event()

    def run(self) -> str | None:
        """The hash; None if the file changed meanwhile or the work was stopped. Raises OSError."""
        digest = hashlib.sha256()
        with self.file.path.open("rb", buffering=0) as opened:
            while not self._stopped.is_set() and (piece := opened.read(_PIECE)):
                digest.update(piece)
                self.done += len(piece)
        same = ModelFile.of(self.file.path, self.file.shown) == self.file
        return digest.hexdigest() if same and self.done == self.file.size else None

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stopped.set()


def _read(path: Path) -> dict[str, tuple[int, int, str]]:
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): (int(size), int(mtime_ns), str(digest)) for name, (size, mtime_ns, digest) in saved.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("%s cannot be read, so that model files are hashed again: %s", path, error)
        return {}
