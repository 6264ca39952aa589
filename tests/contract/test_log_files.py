"""Log files: rotated while processes write to them, within their bounds, and readable by their owner only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.config import LogSettings
from contract.log_files import copy_and_truncate, older, open_log, rename_away

ROOT = Path(__file__).parents[2]
PROGRAM = """
import logging, os, sys
from pathlib import Path
from contract.asgi.serve import log_to_stderr
from contract.config import LogSettings
from contract.log_files import rotate_stderr
log_to_stderr()
rotate_stderr(Path(sys.argv[1]), LogSettings(max_mb=0.01, keep=100))
for number in range(1000):
    logging.getLogger("access").info(f"access {number}")
    if number % 100 == 0:
        os.write(1, b"stdout %d\\n" % number)
        os.write(2, b"stderr %d\\n" % number)
"""


def lines(path: Path) -> list[str]:
    """All lines, those of older files first."""
    files = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    return "".join(file.read_text() for file in (*files, path)).splitlines()


def test_program_rotates_its_own_log_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "gateway.log"
    path.touch(mode=0o644)
    with path.open("ab") as log:
        command = [sys.executable, "-c", PROGRAM, str(path)]
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=True, timeout=100)
    assert older(path, 1).exists()
    for name, step in (("access", 1), ("stdout", 100), ("stderr", 100)):
        assert [line for line in lines(path) if name in line] == [f"{name} {number}" for number in range(0, 1000, step)]
    for file in tmp_path.iterdir():
        assert file.stat().st_size < 11_000
        assert file.stat().st_mode & 0o077 == 0


def test_other_output_is_not_rotated(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "gateway.log", tmp_path / "elsewhere"
    path.write_text("of an earlier run\n")
    with elsewhere.open("ab") as log:
        subprocess.run([sys.executable, "-c", PROGRAM, str(path)], cwd=ROOT, stderr=log, check=True, timeout=100)
    assert path.read_text() == "of an earlier run\n"
    assert not older(path, 1).exists()


def test_process_goes_on_writing_to_its_rotated_log(tmp_path: Path) -> None:
    path = tmp_path / "m.log"
    command = [sys.executable, "-uc", "for line in iter(input, ''): print(line)"]
    with open_log(path) as log, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, text=True) as process:
        assert process.stdin
        for number in range(4):
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
            while path.stat().st_size < 2:  # a digit, and the end of its line
                assert process.poll() is None
            if number < 3:
                copy_and_truncate(path, LogSettings(keep=2))
        process.stdin.write("\n")
    assert [older(path, 2).read_text(), older(path, 1).read_text(), path.read_text()] == ["1\n", "2\n", "3\n"]
    assert sorted(os.listdir(tmp_path)) == ["m.log", "m.log.1", "m.log.2"]


def test_of_a_huge_log_only_the_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.log"
    path.write_bytes(b"start" + b"x" * 5_000_000 + b"end")
    copy_and_truncate(path, LogSettings(max_mb=1))
    assert path.stat().st_size == 0
    kept = older(path, 1).read_bytes()
    assert len(kept) == 2**20
    assert kept.endswith(b"end")


def test_full_disk_does_not_keep_a_log_from_shrinking(tmp_path: Path) -> None:
    path = tmp_path / "m.log"
    path.write_bytes(b"x" * 100)
    older(path, 1).mkdir()  # so that no copy can be written
    (older(path, 1) / "file").touch()
    with pytest.raises(OSError, match="directory"):
        copy_and_truncate(path, LogSettings(keep=1))
    assert path.stat().st_size == 0


def test_fewer_older_files_are_kept_after_a_change(tmp_path: Path) -> None:
    path = tmp_path / "m.log"
    for keep in (2, 2, 2, 1, 0):
        path.write_text("x")
        rename_away(path, keep)
        assert len(list(tmp_path.iterdir())) <= keep
    assert not list(tmp_path.iterdir())
