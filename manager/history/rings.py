"""The rings of the history: arrays that are as large at the start as after an hour of any load."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

from manager.recent_work import WorkCounts, shortened

MAX_DEVICES = 16
MAX_SHARES = 64
"""Shares of workers in the memory of devices that a point keeps; of more, the largest."""
MAX_NAMES = 512
"""Workers whose names are kept at a time. The memory of further ones counts as used, without a name."""
_NO_NAME = 0


@dataclass(frozen=True, slots=True)
class Share:
    """Bytes that a worker holds on a device, which is meant by its number."""

    device: int
    worker: str
    model: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment. `seconds`: how long ago the one before was. `used` and `foreign` are bytes by device."""

    time: float
    seconds: float
    work: WorkCounts
    waiting: int
    running: int
    used: Sequence[int] = ()
    foreign: Sequence[int] = ()
    shares: Sequence[Share] = field(default=())


COUNTS = (*(member.name for member in fields(WorkCounts)), "waiting", "running")
"""The series of whole numbers, one for each."""


class Rings:
    """The last `points` points. Old ones are overwritten."""

    def __init__(self, points: int, devices: int) -> None:
        self._points, self._devices = points, min(devices, MAX_DEVICES)
        self._written = 0
        self._times, self._seconds = array("d", bytes(8 * points)), array("d", bytes(8 * points))
        self._counts = {name: array("q", bytes(8 * points)) for name in COUNTS}
        self._used = array("q", bytes(8 * points * self._devices))
        self._foreign = array("q", bytes(8 * points * self._devices))
        shares = points * MAX_SHARES
        self._share_names, self._share_devices = array("H", bytes(2 * shares)), array("B", bytes(shares))
        self._share_bytes = array("q", bytes(8 * shares))
        self._names: dict[tuple[str, str], int] = {}  # from a worker and its model to a number above 0
        self._free_numbers = list(range(1, MAX_NAMES + 1))

    def append(self, point: Moment) -> None:
        """Add a point in the place of the oldest one."""
        slot = self._written % self._points
        self._written += 1
        self._times[slot], self._seconds[slot] = point.time, point.seconds
        values = {"waiting": point.waiting, "running": point.running}
        for name, ring in self._counts.items():
            ring[slot] = values[name] if name in values else getattr(point.work, name)
        for device in range(self._devices):
            place = slot * self._devices + device
            self._used[place] = point.used[device] if device < len(point.used) else 0
            self._foreign[place] = point.foreign[device] if device < len(point.foreign) else 0
        self._put_shares(slot, point.shares)

    def slots(self, since: float) -> list[int]:
        """Where the points after the time `since` are, the oldest first."""
        first = max(0, self._written - self._points)
        slots = (number % self._points for number in range(first, self._written))
        return [slot for slot in slots if self._times[slot] > since]

    def times(self, slots: Sequence[int]) -> list[float]:
        return [self._times[slot] for slot in slots]

    def seconds(self, slots: Sequence[int]) -> list[float]:
        return [self._seconds[slot] for slot in slots]

    def counts(self, name: str, slots: Sequence[int]) -> list[int]:
        return [self._counts[name][slot] for slot in slots]

    def used(self, device: int, slots: Sequence[int]) -> list[int]:
        return [self._used[slot * self._devices + device] for slot in slots]

    def foreign(self, device: int, slots: Sequence[int]) -> list[int]:
        return [self._foreign[slot * self._devices + device] for slot in slots]

    def shares(self, slot: int) -> Iterator[Share]:
        """The shares of one point."""
        known = {number: name for name, number in self._names.items()}
        for place in range(slot * MAX_SHARES, (slot + 1) * MAX_SHARES):
            if number := self._share_names[place]:
                worker, model = known[number]
                yield Share(self._share_devices[place], worker, model, self._share_bytes[place])

    def _put_shares(self, slot: int, shares: Sequence[Share]) -> None:
        start = slot * MAX_SHARES
        for place in range(start, start + MAX_SHARES):
            self._share_names[place] = _NO_NAME
        if len(self._names) + MAX_SHARES > MAX_NAMES:
            self._forget_names()
        largest = sorted((share for share in shares if share.device < self._devices), key=lambda share: -share.bytes)
        place = start
        for share in largest[:MAX_SHARES]:
            if number := self._number_of(share):
                self._share_names[place], self._share_devices[place] = number, share.device
                self._share_bytes[place] = share.bytes
                place += 1

    def _number_of(self, share: Share) -> int:
        """The number of a worker's name; 0 if there is no room for another one."""
        name = shortened(share.worker) or "", shortened(share.model) or ""
        if name not in self._names:
            if not self._free_numbers:
                return _NO_NAME
            self._names[name] = self._free_numbers.pop()
        return self._names[name]

    def _forget_names(self) -> None:
        """Forget the names that no point has any more."""
        in_use = set(self._share_names)
        self._names = {name: number for name, number in self._names.items() if number in in_use}
        self._free_numbers = sorted(set(range(1, MAX_NAMES + 1)) - set(self._names.values()))
