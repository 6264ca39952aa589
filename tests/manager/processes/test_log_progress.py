"""Which lines of a log are progress: not traces of health probes, but everything that counts up."""

from __future__ import annotations

from pathlib import Path

import pytest

from manager.processes.log_progress import LogProgress

TRACEBACK = (
    "{time} ERROR:\tException in ASGI application\nTraceback (most recent call last):\n  at <App object at 0x7f{n}>\n"
)


@pytest.mark.parametrize(
    ("line", "is_progress"),
    [
        ('127.0.0.1 - - [26/Nov/2026 03:11:{n}] "GET /health HTTP/1.1" 503 -\n', False),
        (TRACEBACK, False),
        ("Loading checkpoint shards: {n}%\r", True),
        ("{time} [step {n}/90] compiling\n", True),
        ("still here\n", False),
    ],
)
def test_repeated_lines_are_progress_if_they_count(tmp_path: Path, line: str, is_progress: bool) -> None:
    path = tmp_path / "log"
    path.write_text("starting\n")
    log = LogProgress(path, "/health")
    counts = []
    for n in range(10, 20):
        with path.open("a") as file:
            file.write(line.format(n=n, time=f"2026-11-26 03:11:{n},5{n}"))
        counts.append(log.update())
    assert (counts[-1] > counts[1]) == is_progress, counts


def test_rotated_log_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("a long line at first\n")
    log = LogProgress(path, "/health")
    assert log.update() == 1
    path.write_text("loaded\n")
    assert log.update() == 2
