"""Tables for the terminal, whose first column can be copied whole."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

_SHOWN = 3


def make_table(*columns: str, title: str | None = None) -> Table:
    """A table without lines. Where there is no room, all columns but the first are folded."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    return table


def short_list(tasks: Sequence[str]) -> str:
    """A model's tasks in a column: chat first, and the number of those that do not fit."""
    ordered = sorted(tasks, key=lambda task: task != "chat")
    if len(ordered) <= _SHOWN:
        return ", ".join(ordered)
    return f"{', '.join(ordered[: _SHOWN - 1])} and {len(ordered) - _SHOWN + 1} more"
