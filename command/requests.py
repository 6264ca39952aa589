"""`enginehouse requests`: the last requests of clients, how long each phase took, and how they ended."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from client.calls.request_log import ServerRequest
from command.session import Session


def requests(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show requests as they end, until Ctrl-C")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many")] = 20,
    search: Annotated[str | None, typer.Option("--search", "-s", help="Only those with this text")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that have failed")] = False,
) -> None:
    """Show the last requests, the newest last. A key needs the scope admin for it."""
    session = Session.of(context)
    with session.client() as client:
        if not follow:
            found = client.requests(limit=limit, search=search, outcome="failed" if failed else None)[::-1]
            session.show([entry.raw for entry in found], _table(found) if found else "There was no such request yet.")
            return
        for request in client.watch_requests():
            if request.status is not None and (not failed or request.error):
                session.show(request.raw, "  ".join(_row(request)))


def _row(request: ServerRequest) -> list[str]:
    phases = " ".join(f"{name} {span:.2f} s" for name, span in request.phases.items() if span)
    return [
        time.strftime("%H:%M:%S", time.localtime(request.time)),
        "runs" if request.status is None else str(request.status),
        request.path,
        request.model or "",
        request.key or "",
        "" if request.seconds is None else f"{request.seconds:.2f} s",
        phases,
        request.error or "",
        request.id,
    ]


def _table(found: list[ServerRequest]) -> Table:
    table = Table("time", "status", "path", "model", "key", "took", "phases", "error", "id", box=None, pad_edge=False)
    for request in found:
        table.add_row(*map(Text, _row(request)))
    return table
