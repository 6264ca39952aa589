"""Shows a person what pip does: a line a package, and on a terminal a bar for the one that is on its way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TextIO
from urllib.parse import unquote, urlsplit

_FOUND = re.compile(r"(Collecting|Processing|Obtaining) \S")
_ARRIVES = re.compile(r"\s*(Downloading|Using cached|Processing) (\S+\.(?:whl|tar\.gz|zip))(?: \((.+)\))?$")
_PLACES = {"Downloading": "", "Using cached": "from the cache", "Processing": "from this machine"}
_BYTES = re.compile(r"Progress (\d+) of (\d+)")
_UNPACKS = re.compile(r"Installing collected packages: (.+)")
_TROUBLE = re.compile(r"\s*(ERROR|error):")
_NOISE = re.compile(r"WARNING: Location .* is ignored")
_BAR, _RESOLVED, _SECONDS = 24, 40, 10


class Progress:
    """Takes pip's lines one by one. `installed` counts the distributions that lie in the environment."""

    def __init__(self, out: TextIO, installed: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._live = out, out.isatty()
        self._installed, self._clock = installed, clock
        self._found = self._found_since = self._unpacking = self._before = 0
        self._told = clock()
        self._failed = False
        self._arriving = self._last = ""

    def line(self, text: str) -> None:
        """Tell what a line of pip's means."""
        text = text.rstrip()
        if self._failed or _TROUBLE.match(text):
            self._failed = True  # from here on, pip's own words are the best
            self._say(text)
        elif arrives := _ARRIVES.match(text):
            self._arrives(*arrives.groups())
        elif done := _BYTES.match(text):
            self._bytes(int(done[1]), int(done[2]))
        elif unpacks := _UNPACKS.match(text):
            self._unpacking, self._before = len(unpacks[1].split(",")), self._installed()
            self._told = self._clock()
            self._say(f"Unpacking {self._unpacking} package{'s' if self._unpacking > 1 else ''}")
        elif text.startswith("WARNING: ") and not _NOISE.match(text):
            self._say(text)
        if _FOUND.match(text):
            self._finds()

    def tick(self) -> None:
        """Called while pip says nothing: it does not tell how far it has come in unpacking."""
        if self._unpacking:
            done = min(max(self._installed() - self._before, 0), self._unpacking)
            self._now(f"{done} of {self._unpacking} unpacked")

    def end(self) -> None:
        """Take away what is not to stay on the terminal."""
        if self._live:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _finds(self) -> None:
        self._found, self._found_since = self._found + 1, self._found_since + 1
        if self._live:
            self._now(f"{self._found} packages found")
        elif self._found_since == _RESOLVED:
            self._found_since = 0
            self._say(f"  {self._found} packages found")

    def _arrives(self, how: str, place: str, size: str | None) -> None:
        file = PurePosixPath(unquote(urlsplit(place).path)).name
        name, version = re.sub(r"\.(tar\.gz|zip|whl)$", "", file).split("-")[:2]
        self._arriving = f"{name.replace('_', '-')} {version}"
        self._found_since = 0
        size = None if how == "Processing" else size  # there it is a list of who asked for it
        details = ", ".join(filter(None, (size, _PLACES[how])))
        self._say(f"  {self._arriving}" + (f"  ({details})" if details else ""))

    def _bytes(self, done: int, total: int) -> None:
        if self._live and 0 < done < total:
            full = _BAR * done // total
            bar = "█" * full + "░" * (_BAR - full)
            self._now(f"{bar}  {done / 1e6:.0f} of {total / 1e6:.0f} MB  {self._arriving}")

    def _now(self, text: str) -> None:
        """What holds at the moment: overwritten on a terminal, and now and then a line of a log."""
        if self._live:
            self._out.write(f"\r\x1b[K  {text}")
            self._out.flush()
        elif self._clock() - self._told >= _SECONDS:
            self._told = self._clock()
            if text != self._last:
                self._say(f"  {text}")
            self._last = text

    def _say(self, text: str) -> None:
        self.end()
        self._out.write(text + "\n")
        self._out.flush()
