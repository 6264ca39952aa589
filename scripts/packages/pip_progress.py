"""Shortens pip's output to one line for each package, and on a terminal a bar for the current download."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TextIO
from urllib.parse import unquote, urlsplit

DOWNLOADED_BYTES = re.compile(r"Progress (\d+) of (\d+)")
"""A line of pip's `--progress-bar raw`."""
_PACKAGE = re.compile(r"(Collecting|Processing|Obtaining) \S")
_FILE = re.compile(r"\s*(Downloading|Using cached|Processing) (\S+\.(?:whl|tar\.gz|zip))(?: \((.+)\))?$")
_ORIGINS = {"Downloading": "", "Using cached": "from the cache", "Processing": "from a local file"}
_INSTALLING = re.compile(r"Installing collected packages: (.+)")
_ERROR = re.compile(r"\s*(ERROR|error):")
_MISSING_LOCAL_INDEX = re.compile(r"WARNING: Location .* is ignored")
_BAR_WIDTH, _PACKAGES_PER_LINE, _SECONDS_PER_LINE = 24, 40, 10


class PipProgress:
    """Reads pip's output line by line. `count_installed` returns how many packages are in the environment."""

    def __init__(
        self, out: TextIO, count_installed: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out, self._is_terminal = out, out.isatty()
        self._count_installed, self._clock = count_installed, clock
        self._found = self._found_since_line = 0
        self._installing = self._installed_before = 0
        self._last_status_at = clock()
        self._failed = False
        self._file = self._last_status = ""

    def read_line(self, line: str) -> None:
        """Show what a line of pip's output means to a user. After an error, show pip's own lines."""
        line = line.rstrip()
        if self._failed or _ERROR.match(line):
            self._failed = True
            self._print(line)
        elif file := _FILE.match(line):
            self._show_file(*file.groups())
        elif downloaded := DOWNLOADED_BYTES.match(line):
            self._show_bar(int(downloaded[1]), int(downloaded[2]))
        elif packages := _INSTALLING.match(line):
            self._start_installing(len(packages[1].split(",")))
        elif line.startswith("WARNING: ") and not _MISSING_LOCAL_INDEX.match(line):
            self._print(line)
        if _PACKAGE.match(line):
            self._count_found()

    def tick(self) -> None:
        """Call it while pip is silent: pip prints nothing while it installs, so this counts packages instead."""
        if self._installing:
            done = min(max(self._count_installed() - self._installed_before, 0), self._installing)
            self._show_status(f"{done} of {self._installing} installed")

    def close(self) -> None:
        """Clear the status line of a terminal."""
        if self._is_terminal:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _count_found(self) -> None:
        self._found, self._found_since_line = self._found + 1, self._found_since_line + 1
        if self._is_terminal:
            self._show_status(f"{self._found} packages found")
        elif self._found_since_line == _PACKAGES_PER_LINE:
            self._found_since_line = 0
            self._print(f"  {self._found} packages found")

    def _show_file(self, action: str, location: str, note: str | None) -> None:
        file = PurePosixPath(unquote(urlsplit(location).path)).name
        name, version = re.sub(r"\.(tar\.gz|zip|whl)$", "", file).split("-")[:2]
        self._file = f"{name.replace('_', '-')} {version}"
        self._found_since_line = 0
        size = None if action == "Processing" else note  # for a local file, it names the packages that need it
        details = ", ".join(filter(None, (size, _ORIGINS[action])))
        self._print(f"  {self._file}" + (f"  ({details})" if details else ""))

    def _show_bar(self, done: int, total: int) -> None:
        if self._is_terminal and 0 < done < total:
            full = _BAR_WIDTH * done // total
            bar = "█" * full + "░" * (_BAR_WIDTH - full)
            self._show_status(f"{bar}  {done / 1e6:.0f} of {total / 1e6:.0f} MB  {self._file}")

    def _start_installing(self, packages: int) -> None:
        self._installing, self._installed_before = packages, self._count_installed()
        self._last_status_at = self._clock()
        self._print(f"Installing {packages} package{'s' if packages > 1 else ''}")

    def _show_status(self, text: str) -> None:
        """Show a status that changes: a terminal overwrites it, a log gets a line every ten seconds."""
        if self._is_terminal:
            self._out.write(f"\r\x1b[K  {text}")
            self._out.flush()
        elif self._clock() - self._last_status_at >= _SECONDS_PER_LINE:
            self._last_status_at = self._clock()
            if text != self._last_status:
                self._print(f"  {text}")
            self._last_status = text

    def _print(self, text: str) -> None:
        self.close()
        self._out.write(text + "\n")
        self._out.flush()
