"""`enginehouse models`, `load` and `evict`: which models there are, and which are in memory."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
import yaml
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from client import Client, LoadProgress
from client.calls.models import CatalogueModel, ListedModel
from command.session import Session, console
from command.status import STYLES
from command.tables import make_table, short_list
from command.units import gib, megabytes


def _ids() -> list[str]:
    """The ids of the configured models, for the shell's completion. Nothing if the server does not answer."""
    try:
        with Client(timeout=2) as client:
            return [model.id for model in client.models()]
    except Exception:  # a message would end up in the command line
        return []


ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A model's id or alias", autocompletion=_ids)]


def models(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A task, or a model to show in detail")] = None,
    known: Annotated[bool, typer.Option("--all", "-a", help="The whole catalogue, not only configured models")] = False,
) -> None:
    """List the configured models, with --all every known one, those of a task, or one model in detail."""
    session = Session.of(context)
    with session.client() as client:
        if name is not None and name not in {task for model in client.catalogue() for task in model.tasks}:
            model = client.known_model(name)
            session.show(model.raw, _details(model))
        elif known:
            rows = client.catalogue(name)
            session.show([row.raw for row in rows], _catalogue(rows))
        else:
            listed = client.models(name)
            session.show([row.raw for row in listed], _configured(listed))


def _configured(rows: list[ListedModel]) -> Table:
    table = make_table("id", "state", "tasks", "engine", "memory", "source")
    for row in rows:
        state = Text(row.state, style=STYLES.get(row.state, ""))
        table.add_row(row.id, state, short_list(row.tasks), row.engine, gib(row.memory_bytes), row.source)
    return table


def _catalogue(rows: list[CatalogueModel]) -> Table:
    table = make_table("id", "tasks", "size", "memory", "licence", "downloaded", "configured as")
    for row in rows:
        least = min((row.memory_gb or {}).values(), default=None)
        table.add_row(
            row.id,
            short_list(row.tasks),
            megabytes(row.size_mb),
            "" if least is None else f"{least} GiB",
            (row.licence or "") + (", gated" if row.gated else ""),
            {True: "yes", False: "", None: ""}[row.downloaded],
            row.configured or "",
        )
    return table


def _details(model: CatalogueModel) -> Table:
    table = make_table("", "")
    table.show_header = False
    facts: dict[str, Any] = {name: value for name, value in model.raw.items() if name not in {"entry", "apple"}}
    for name, value in facts.items():
        if value not in (None, "", [], {}):
            table.add_row(name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
    if model.entry and not model.configured:
        table.add_row("entry for config.yaml", yaml.safe_dump([model.entry], sort_keys=False).strip())
    return table


def load(context: typer.Context, model: ModelName) -> None:
    """Load a model into memory and wait until it is ready."""
    session = Session.of(context)
    if session.as_json or not console().is_terminal:
        with session.client() as client:
            loaded = client.load(model)
    else:
        loaded = asyncio.run(_load_with_bar(session, model))
    session.show({"model": loaded, "state": "ready"}, f"{loaded} is ready.")


async def _load_with_bar(session: Session, model: str) -> str:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(), transient=True) as bars:
        bar = bars.add_task(f"{model}: waiting", total=None)

        def show(step: LoadProgress) -> None:
            bars.update(bar, description=f"{model}: {step.state}", completed=step.bytes or 0, total=step.total)

        async with session.async_client() as client:
            return await client.load(model, show)


def evict(
    context: typer.Context,
    model: ModelName,
    force: Annotated[bool, typer.Option("--force", help="End its running requests at once, with an error")] = False,
) -> None:
    """Stop a model's workers, after their running requests, and free their memory."""
    session = Session.of(context)
    with session.client() as client:
        evicted = client.evict(model, force=force)
    what = f"{', '.join(evicted.evicted)} stopped, {gib(evicted.freed_bytes)} free again."
    session.show(
        {"evicted": evicted.evicted, "freed_bytes": evicted.freed_bytes},
        what if evicted.evicted else f"{model} was not loaded.",
    )
