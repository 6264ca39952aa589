"""Remembers how much memory each model was seen to need, and guesses before it was ever seen."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

from contract.config import ModelSpec
from manager.memory import GIB
from manager.models.weights import Weights, find

log = logging.getLogger(__name__)

MIB = 1 << 20

DEFAULT_GUESS = GIB
"""For a model of which nothing is known: a small one with its libraries. It only says where to try first."""

OVERHEAD = 1.2
"""What a running model needs beside its weights, as a factor, until it has been measured."""

LOOK_AGAIN = 10.0
"""Seconds after which the model's files are looked at again: they may have been downloaded or replaced."""

_QUANTISED = ("quant", "bit", "dtype", "variant")
"""An option whose name contains one of these changes the weights' size in memory."""


class Footprints:
    """Learned bytes by key, kept in one JSON file. Methods may be called from any thread; saving takes about 1 ms."""

    def __init__(
        self, path: Path, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._environ, self._clock = path, environ, clock
        self._lock = threading.Lock()
        self._bytes = _load(path)
        self._found: dict[Hashable, tuple[float, Weights]] = {}

    def key(self, spec: ModelSpec, dtype: str, device_name: str) -> str:
        """Equal for models that need equal memory. A hub model's changes once: when it is downloaded."""
        return " | ".join((self._identity(spec), spec.engine, _precision(spec, dtype), device_name))

    def learned(self, key: str) -> int | None:
        """The highest value seen, in bytes; None where there is none yet."""
        with self._lock:
            return self._bytes.get(key)

    def learn(self, key: str, size: int) -> bool:
        """Take in a measured value; True where it is higher than all before. Kept in whole MiB, rounded up."""
        rounded = -(-size // MIB) * MIB
        with self._lock:
            if rounded <= self._bytes.get(key, 0):
                return False
            self._bytes[key] = rounded
            self._save()
            return True

    def guess(self, spec: ModelSpec) -> int:
        """Bytes, until it is measured: the entry's own `memory_gb`, else its weight files times 1.2, else 1 GiB."""
        if spec.memory_gb is not None:
            return int(spec.memory_gb * GIB)
        return int(self._weights(spec).size * OVERHEAD) or DEFAULT_GUESS

    def _identity(self, spec: ModelSpec) -> str:
        """What has no source of its own is what its options make it."""
        if not spec.source:
            return f"options:{_digest(spec.options)}"
        return f"{spec.source}@{self._weights(spec).version}"

    def _weights(self, spec: ModelSpec) -> Weights:
        """Asked for at every decision of the pool, so the disk is looked at only now and then."""
        which = (spec.source, spec.revision, *sorted(spec.env.items()))
        now = self._clock()
        with self._lock:
            at, found = self._found.get(which, (-LOOK_AGAIN, None))
            if found is None or now - at >= LOOK_AGAIN:
                found = find(spec, self._environ)
                self._found[which] = now, found
            return found

    def _save(self) -> None:
        """Whole or not at all: written beside the file, then put in its place."""
        beside = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps({"bytes": self._bytes}, indent=1, sort_keys=True), encoding="utf-8")
            beside.replace(self._path)
        except OSError as error:
            log.warning("what was learned about memory could not be saved in %s: %s", self._path, error)


def _precision(spec: ModelSpec, dtype: str) -> str:
    chosen = {name: value for name, value in spec.options.items() if any(part in name for part in _QUANTISED)}
    return f"{dtype} {json.dumps(chosen, sort_keys=True, default=str)}" if chosen else dtype


def _digest(options: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _load(path: Path) -> dict[str, int]:
    """A file that cannot be understood is set aside, never a reason not to start: everything is learned again."""
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        aside = path.with_suffix(f".corrupt-{time.time_ns()}")
        log.warning("%s cannot be read (%s); it is set aside as %s and learned anew", path, error, aside.name)
        try:
            path.replace(aside)
        except OSError as failure:
            log.warning("%s could not be set aside: %s", path, failure)
        return {}


def _parse(text: str) -> dict[str, int]:
    """Raises ValueError where it is not what `_save` writes."""
    data = json.loads(text)
    found = data.get("bytes") if isinstance(data, dict) else None
    if not isinstance(found, dict):
        raise ValueError("it holds no object `bytes`")
    if wrong := [key for key, size in found.items() if type(size) is not int or size <= 0]:
        raise ValueError(f"the value of {wrong[0]!r} is not a number of bytes")
    return found
