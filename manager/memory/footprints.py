"""Remembers how much memory each model was measured to need, and estimates it before the first measurement."""

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
from manager.memory.device import GIB, MIB
from manager.memory.start_history import WINDOW, StartRecord, expected, required
from manager.models.weights import Weights, find

log = logging.getLogger(__name__)

DEFAULT_GUESS = GIB
"""Bytes for a model of which nothing is known: a small one with its libraries. It only says where to try first."""

OVERHEAD = 1.2
"""A running model's memory as a multiple of its weight files, until it has been measured."""

LOOKUP_INTERVAL = 10.0
"""Seconds for which a model's files are not looked at again; they may be downloaded or replaced at any time."""

_QUANTISATION = ("quant", "bit", "dtype", "variant")
"""An option whose name contains one of these changes how much memory the weights take."""


class Footprints:
    """Recent starts by key, kept in one JSON file. Methods may be called from any thread; saving takes about 1 ms.

    `estimate` is the entry's `memory_gb`. What was measured while the entry had a different one does not count.
    """

    def __init__(
        self, path: Path, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._environ, self._clock = path, environ, clock
        self._lock = threading.Lock()
        self._starts = _load(path)
        self._lookups: dict[Hashable, tuple[float, Weights]] = {}

    def key(self, spec: ModelSpec, dtype: str, device_name: str) -> str:
        """The same key for models that need the same memory. A hub model's key changes once, when it is downloaded."""
        return " | ".join((self._identity(spec), spec.engine, _precision(spec, dtype), device_name))

    def learned(self, key: str, estimate: float | None = None) -> int | None:
        """Bytes that a start should have; None if nothing was measured yet."""
        with self._lock:
            return expected(self._counting(key, estimate)) or None

    def required(self, key: str, estimate: float | None = None) -> int:
        """Bytes that loading takes at least; 0 if that was not measured yet."""
        with self._lock:
            return required(self._counting(key, estimate))

    def learn(self, key: str, size: int, start: str = "", estimate: float | None = None) -> bool:
        """Record what a worker of this start held; True if it is the start's highest value so far.

        Values are kept in whole MiB, rounded up.
        """
        with self._lock:
            record = self._record(key, start, estimate)
            return self._set(record, "peak", size, higher=True)

    def learn_loaded(self, key: str, size: int, start: str, estimate: float | None = None) -> bool:
        """Record what a worker held once it was ready; True if it is the start's lowest value so far."""
        with self._lock:
            record = self._record(key, start, estimate)
            return self._set(record, "loaded", size, higher=False)

    def learn_shortage(self, key: str, size: int, start: str, estimate: float | None = None) -> bool:
        """Record what a worker is expected to need after it ran out of memory."""
        with self._lock:
            record = self._record(key, start, estimate)
            return self._set(record, "raised", size, higher=True)

    def forget(self, key: str) -> bool:
        """Forget all that was measured; whether there was anything."""
        with self._lock:
            known = self._starts.pop(key, None) is not None
            if known:
                self._save()
            return known

    def guess(self, spec: ModelSpec) -> int:
        """Bytes before the first measurement: the entry's `memory_gb`, else its weight files times 1.2, else 1 GiB."""
        if spec.memory_gb is not None:
            return int(spec.memory_gb * GIB)
        return int(self._weights(spec).size * OVERHEAD) or DEFAULT_GUESS

    def weights_bytes(self, spec: ModelSpec) -> int:
        """Bytes of the model's weight files; 0 if they are not on this machine."""
        return self._weights(spec).size

    def _identity(self, spec: ModelSpec) -> str:
        """A model without a source is identified by its options."""
        if not spec.source:
            return f"options:{_digest(spec.options)}"
        return f"{spec.source}@{self._weights(spec).version}"

    def _weights(self, spec: ModelSpec) -> Weights:
        """Every decision of the scheduler asks for this, so the disk is only looked at now and then."""
        request = (spec.source, spec.revision, *sorted(spec.env.items()))
        now = self._clock()
        with self._lock:
            looked_up_at, weights = self._lookups.get(request, (-LOOKUP_INTERVAL, None))
            if weights is None or now - looked_up_at >= LOOKUP_INTERVAL:
                weights = find(spec, self._environ)
                self._lookups[request] = now, weights
            return weights

    def _counting(self, key: str, estimate: float | None) -> list[StartRecord]:
        records = self._starts.get(key, [])
        return records if estimate is None else [r for r in records if r.estimate in {None, estimate}]

    def _record(self, key: str, start: str, estimate: float | None) -> StartRecord:
        """The start's record, added if it is new."""
        records = self._starts.setdefault(key, [])
        for record in reversed(records):
            if record.start == start:
                return record
        records.append(StartRecord(start, estimate=estimate))
        del records[:-WINDOW]
        return records[-1]

    def _set(self, record: StartRecord, name: str, size: int, *, higher: bool) -> bool:
        rounded, known = -(-size // MIB) * MIB, getattr(record, name)
        if known and (rounded <= known if higher else rounded >= known):
            return False
        setattr(record, name, rounded)
        self._save()
        return True

    def _save(self) -> None:
        """Write a new file, then put it in the old one's place, so that the file is always complete."""
        new = self._path.with_suffix(f".{os.getpid()}.tmp")
        starts = {key: [record.to_json() for record in records] for key, records in self._starts.items()}
        sizes = {key: size for key, records in self._starts.items() if (size := expected(records))}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps({"bytes": sizes, "starts": starts}, indent=1, sort_keys=True), encoding="utf-8")
            new.replace(self._path)
        except OSError as error:
            log.warning("measured memory could not be saved in %s: %s", self._path, error)


def _precision(spec: ModelSpec, dtype: str) -> str:
    options = {name: value for name, value in spec.options.items() if any(part in name for part in _QUANTISATION)}
    return f"{dtype} {json.dumps(options, sort_keys=True, default=str)}" if options else dtype


def _digest(options: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _load(path: Path) -> dict[str, list[StartRecord]]:
    """Set an unreadable file aside rather than fail to start: everything in it can be measured again."""
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        aside = path.with_suffix(f".corrupt-{time.time_ns()}")
        log.warning("%s cannot be read (%s); it is set aside as %s, and memory is measured again", path, error, aside)
        try:
            path.replace(aside)
        except OSError as failure:
            log.warning("%s could not be set aside: %s", path, failure)
        return {}


def _parse(text: str) -> dict[str, list[StartRecord]]:
    """Raises ValueError if the text is not what `_save` writes.

    A file of an earlier version has only `bytes`: the highest value of all starts, which says nothing about loading.
    """
    document = json.loads(text)
    sizes = document.get("bytes") if isinstance(document, dict) else None
    if not isinstance(sizes, dict):
        raise ValueError("it has no object `bytes`")
    if wrong := [key for key, size in sizes.items() if type(size) is not int or size <= 0]:
        raise ValueError(f"the value of {wrong[0]!r} is not a number of bytes")
    starts = document.get("starts", {})
    if not isinstance(starts, dict) or not all(isinstance(records, list) for records in starts.values()):
        raise ValueError("its `starts` is not an object of lists")
    earlier = {key: [StartRecord("", peak=size)] for key, size in sizes.items() if key not in starts}
    return earlier | {key: [StartRecord.from_json(fields) for fields in records] for key, records in starts.items()}
