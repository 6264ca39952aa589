"""The files of the page, in memory: compressed once, and named after a hash of all of them."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

FOLDER = Path(__file__).parent / "static"
INDEX = "index.html"
_START = "app.js"
_ASSETS = b"{assets}"
_PRELOADS = b"<!-- preloads -->"
_IMPORT = re.compile(r"""^(?:import|export)\b[^;"']*?["'](\.[^"']+)["'];?$""", re.MULTILINE)
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class PageFile:
    """One file."""

    content: bytes
    media_type: str

    @cached_property
    def compressed(self) -> bytes:
        """The content as gzip writes it, which takes up to 50 ms."""
        return gzip.compress(self.content, 9, mtime=0)


class Edition:
    """All files of the page, as they were at one time. `version` is a hash of them.

    The address of every file but the index has the version in it, so browsers may keep these files for ever.
    """

    def __init__(self, folder: Path) -> None:
        paths = {str(PurePosixPath(path.relative_to(folder))): path for path in _files(folder)}
        self.files = {name: PageFile(path.read_bytes(), MEDIA_TYPES[path.suffix]) for name, path in paths.items()}
        digest = hashlib.sha256()
        for name in sorted(self.files):
            digest.update(f"{name}\n{len(self.files[name].content)}\n".encode() + self.files[name].content)
        self.version = digest.hexdigest()[:16]
        self.index = self._complete(self.files.pop(INDEX))

    def modules_at_start(self) -> list[str]:
        """The modules without which the page shows nothing: the first one, and all that these import."""
        waiting, modules = [_START], list[str]()
        while waiting:
            name = waiting.pop(0)
            modules.append(name)
            source = self.files[name].content.decode()
            imported = (_resolve(name, target) for target in _IMPORT.findall(source))
            waiting += [module for module in imported if module not in modules and module not in waiting]
        return modules

    def _complete(self, index: PageFile) -> PageFile:
        """The index with the addresses of the files, relative to the page's own, so that any prefix is possible."""
        assets = f"ui/{self.version}".encode()
        links = (b'<link rel="modulepreload" href="%s/%s">' % (assets, m.encode()) for m in self.modules_at_start())
        content = index.content.replace(_PRELOADS, b"\n".join(links)).replace(_ASSETS, assets)
        return PageFile(content, index.media_type)


class PageFiles:
    """The current edition, read when it is first asked for, and again when a file has changed."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._stamp: frozenset[tuple[str, int, int]] = frozenset()
        self._edition: Edition | None = None

    def current(self) -> Edition:
        """The edition; looks at the times of all files, which takes a millisecond."""
        stats = ((str(path), path.stat()) for path in _files(self._folder))
        stamp = frozenset((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats)
        if self._edition is None or stamp != self._stamp:
            self._stamp, self._edition = stamp, Edition(self._folder)
        return self._edition

    def find(self, version: str, name: str) -> PageFile | None:
        """A file of the edition of this version, or None."""
        edition = self._edition if self._edition and self._edition.version == version else self.current()
        return edition.files.get(name) if edition.version == version else None


def _files(folder: Path) -> Iterator[Path]:
    """The files that are served: editors leave others there."""
    return (path for path in folder.rglob("*") if path.suffix in MEDIA_TYPES and not path.name.startswith("."))


def _resolve(importer: str, target: str) -> str:
    parts: list[str] = [*PurePosixPath(importer).parent.parts]
    for part in PurePosixPath(target).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
