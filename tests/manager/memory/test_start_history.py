"""What recent starts say about the next one: old peaks and leaks fade, and work gets bounded room."""

from __future__ import annotations

import json
from pathlib import Path

from manager.memory.device import GIB, MIB
from manager.memory.footprints import Footprints
from manager.memory.start_history import MIN_WORK_ROOM, WINDOW, StartRecord, expected, required


def records(*peaks: int, loaded: int = GIB) -> list[StartRecord]:
    return [StartRecord(str(number), loaded, peak) for number, peak in enumerate(peaks)]


def test_a_single_peak_fades_after_two_usual_starts() -> None:
    assert expected(records(2 * GIB, 3 * GIB)) == 3 * GIB
    assert expected(records(3 * GIB, 2 * GIB, 2 * GIB)) == 2 * GIB


def test_room_for_work_is_bounded() -> None:
    assert expected(records(21 * GIB)) == GIB + MIN_WORK_ROOM
    assert expected(records(21 * GIB, loaded=5 * GIB)) == 10 * GIB


def test_work_and_leaks_do_not_count_as_required() -> None:
    assert required(records(21 * GIB, 2 * GIB)) == GIB
    assert required([]) == 0


def test_a_shortage_counts_for_the_next_start_only() -> None:
    short = StartRecord("short", GIB, GIB, raised=4 * GIB)
    usual = records(GIB, GIB)
    assert [expected([short, *usual[:count]]) for count in (0, 1, 2)] == [4 * GIB, 4 * GIB, GIB]


def test_only_a_window_of_starts_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    for number in range(WINDOW + 3):
        Footprints(path).learn("k", (100 - number) * MIB, str(number))
    kept = json.loads(path.read_text())["starts"]["k"]
    assert [record["start"] for record in kept] == [str(number) for number in range(3, WINDOW + 3)]


def test_a_file_of_an_earlier_version_bars_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text(json.dumps({"bytes": {"k": 21 * GIB}}))
    footprints = Footprints(path)
    assert footprints.learned("k") == 21 * GIB
    assert footprints.required("k") == 0


def test_a_changed_memory_gb_overrides_what_was_measured(tmp_path: Path) -> None:
    footprints = Footprints(tmp_path / "f.json")
    footprints.learn_loaded("k", 3 * GIB, "1", 8.0)
    footprints.learn("k", 4 * GIB, "1", 8.0)
    assert footprints.learned("k", 8.0) == footprints.learned("k") == 4 * GIB
    assert (footprints.learned("k", 1.0), footprints.required("k", 1.0)) == (None, 0)


def test_what_was_measured_can_be_forgotten(tmp_path: Path) -> None:
    footprints = Footprints(tmp_path / "f.json")
    footprints.learn("k", GIB)
    assert (footprints.forget("k"), footprints.forget("k")) == (True, False)
    assert Footprints(tmp_path / "f.json").learned("k") is None
