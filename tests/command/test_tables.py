"""Tables of the command, in narrow terminals and in pipes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from command.session import console
from command.tables import make_table, short_list

JOB = "job_0123456789abcdef0123456789abcdef"


def test_first_column_is_never_cut() -> None:
    table = make_table("job", "state", "type", "model", "created")
    table.add_row(JOB, "completed", "image-generation", "stable-diffusion", "2026-11-26 19:27:37")
    printed = io.StringIO()
    Console(file=printed, width=70).print(table)
    assert JOB in printed.getvalue()


def test_piped_output_has_one_line_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width > 200
    monkeypatch.setenv("COLUMNS", "90")
    assert console().width == 90


def test_long_list_of_tasks_is_shortened() -> None:
    assert short_list(["ocr", "chat"]) == "chat, ocr"
    assert short_list(["analyze", "caption", "chat", "completions", "ocr"]) == "chat, analyze and 3 more"
