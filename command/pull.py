"""`enginehouse pull`, `rm`, `add`, `pin` and `unpin`: models come, go and stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from client import Client, ServerError
from client.calls.downloads import DownloadReport
from command import exit_codes
from command.models import ModelName
from command.session import CommandError, Session, console
from command.units import file_size
from contract.yaml_file import explain

ATTEMPTS = 5
"""How often a stream of progress that broke off is opened again. The download itself goes on meanwhile."""


def pull(
    context: typer.Context,
    model: ModelName,
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit of the repository")] = None,
    add: Annotated[bool, typer.Option("--add", help="Also add its entry to the server's config.yaml")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End its download instead")] = False,
) -> None:
    """Download a model to the server, with a bar. Ctrl-C stops the bar, and the download goes on."""
    session = Session.of(context)
    with session.client() as client:
        if cancel:
            _cancel(session, client, model)
            return
        try:
            last = _follow(session, _reports(client, model, revision))
        except KeyboardInterrupt:
            hint = f"The download goes on. `enginehouse pull {model}` shows it again, and with --cancel ends it."
            raise session.fail(hint, exit_codes.INTERRUPTED) from None
        if last.failure:
            raise last.failure
        if last.state != "done":
            raise CommandError(f"The download of {last.source} has ended: {last.state}.")
        if add:
            client.add_model(model)
        if not session.as_json:
            session.show(None, f"{last.source} is here: {file_size(last.total)}.{_hint(client, model)}")


def remove(
    context: typer.Context,
    model: ModelName,
    entry: Annotated[bool, typer.Option("--entry", help="Also remove its entry from the server's config.yaml")] = False,
    keep_files: Annotated[bool, typer.Option("--keep-files", help="With --entry: remove only the entry")] = False,
) -> None:
    """Remove a model's files from the server, and say how much is free again."""
    session = Session.of(context)
    with session.client() as client:
        removed = client.remove_model(model, entry=entry, files=not keep_files)
    parts = [f"The entry of {removed.model} is removed."] if removed.entry else []
    parts += [] if keep_files else [f"{file_size(removed.freed_bytes)} are free again."]
    parts += [removed.kept] if removed.kept else []
    fields = ("model", "entry", "freed_bytes", "kept")
    session.show({name: getattr(removed, name) for name in fields}, " ".join(parts))


def add(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A name of the catalogue, or a file with an entry; `-` reads stdin")],
    option: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Another value in the entry, such as idle_timeout=60")
    ] = None,
) -> None:
    """Add a model to the server's config.yaml, from where it runs at once. Comments in the file are kept."""
    session = Session.of(context)
    changes = dict(_setting(text) for text in option or ())
    with session.client() as client:
        added = client.add_model(_entry(model), **changes)
    session.show(added.raw, f"{added.id} is added, for {', '.join(added.tasks)}. `enginehouse run {added.id}` uses it.")


def pin(context: typer.Context, model: ModelName) -> None:
    """Keep a model in memory once it is loaded: neither idleness nor other models end it."""
    session = Session.of(context)
    with session.client() as client:
        id_ = client.pin(model)
    session.show({"model": id_, "pinned": True}, f"{id_} is pinned. `enginehouse load {id_}` loads it now.")


def unpin(context: typer.Context, model: ModelName) -> None:
    """Let a model be unloaded again when it is idle, or when another one needs its memory."""
    session = Session.of(context)
    with session.client() as client:
        id_ = client.unpin(model)
    session.show({"model": id_, "pinned": False}, f"{id_} is no longer pinned.")


def _reports(client: Client, model: str, revision: str | None) -> Iterator[DownloadReport]:
    """The reports of a download to its end. A stream that breaks off is opened again: the download is shared."""
    attempts, begun = ATTEMPTS, False
    while True:
        try:
            for report in client.pull(model, revision):
                begun = True
                yield report
                if report.state != "running":
                    return
        except ServerError as error:
            if not begun or error.status not in {0, 503}:
                raise
        attempts -= 1
        if not attempts:
            raise CommandError("The server has stopped reporting. `enginehouse pull` shows the download again.")


def _follow(session: Session, reports: Iterator[DownloadReport]) -> DownloadReport:
    """Show the reports as a bar or, with --json, as lines. Returns the last one."""
    last: DownloadReport | None = None
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    silent = session.as_json or not console().is_terminal
    with Progress(*columns, console=console(), disable=silent) as bars:
        bar = bars.add_task("", total=None)
        for last in reports:
            if session.as_json:
                session.show(last.raw)
            description = f"{last.source}: {last.phase or last.state}"
            bars.update(bar, description=description, completed=last.bytes, total=last.total)
    if last is None:
        raise CommandError("The server has reported nothing. Read its log: `enginehouse logs manager`.")
    return last


def _cancel(session: Session, client: Client, model: str) -> None:
    running = [download for download in client.downloads() if download.state == "running"]
    named = [download for download in running if model in {download.model, download.source, download.id}]
    if not named:
        raise CommandError(f"No download of {model} runs.")
    ended = [client.cancel_download(download.id) for download in named]
    session.show([download.raw for download in ended], f"{named[0].source} is not downloaded further.")


def _hint(client: Client, model: str) -> str:
    """What is still missing until the model can be used."""
    try:
        known = client.known_model(model)
    except ServerError:  # a repository that neither the configuration nor the catalogue knows
        return " An entry in config.yaml makes it a model; `enginehouse add FILE` adds one."
    return "" if known.configured else f" `enginehouse add {known.id}` makes it a model."


def _entry(model: str) -> str | dict[str, Any]:
    """An entry from a file or stdin, or the name of one."""
    if model != "-" and not Path(model).is_file():
        return model
    text = typer.get_text_stream("stdin").read() if model == "-" else Path(model).read_text(encoding="utf-8")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CommandError(f"The entry is not valid YAML: {explain(error)}") from None
    if isinstance(document, list) and len(document) == 1:
        document = document[0]  # as it is written below `models:`
    if not isinstance(document, dict):
        raise CommandError("An entry has lines such as `id: my-model`, `engine: transformers_chat` and `source: …`.")
    return document


def _setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise CommandError(f"`--set {text}` has no value: write `--set {text}=VALUE`")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
