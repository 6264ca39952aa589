"""`enginehouse events` and `logs`: what happens in the server, and what a program or a model writes."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from client.calls.system import ServerEvent
from command.models import ModelName
from command.session import Session
from command.units import gib


def events(
    context: typer.Context,
    since: Annotated[int | None, typer.Option(min=0, help="Begin after the event with this number")] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many events")] = None,
) -> None:
    """Show what happens, as it happens: states, loading, evictions and their reasons."""
    session = Session.of(context)
    with session.client() as client:
        for number, event in enumerate(client.events(since), start=1):
            session.show(event.raw, _line(event))
            if number == count:
                return


def _line(event: ServerEvent) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(event.time))
    what = f"{event.from_} → {event.to}" if event.type == "state" else event.type
    if event.total:
        what += f" {100 * (event.bytes or 0) / event.total:.0f} %"
    elif event.bytes:
        what += f" ({gib(event.bytes)})"
    return " ".join(part for part in (clock, event.worker or event.model or "", what, event.reason or "") if part)


def logs(
    context: typer.Context,
    name: ModelName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the model writes, until Ctrl-C")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=10000, help="How many lines to begin with")] = 50,
    search: Annotated[str, typer.Option("--search", "-s", help="Only lines that contain this text, in any case")] = "",
) -> None:
    """Show the log of a model's workers. `manager` and `gateway` name the programs' own logs."""
    session = Session.of(context)
    with session.client() as client:
        for line in client.logs(name, lines=lines, follow=follow, search=search):
            if session.as_json:
                session.show({"line": line})
            else:
                print(line, flush=True)
