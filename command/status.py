"""`enginehouse status`: models and their states, memory, workers, and which request waits for what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from client import Client
from client.calls.system import DeviceMemory, ServerStatus
from command.session import Session, console
from command.tables import make_table, short_list
from command.units import file_size, gib, seconds

STYLES = {
    "ready": "green", "starting": "yellow", "draining": "yellow", "stopping": "yellow", "backoff": "red",
    "stopped": "dim",
}  # fmt: skip


def status(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it, until Ctrl-C")] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks")] = 1.0,
) -> None:
    """Show models, their states, memory, workers, and which request waits for what."""
    session = Session.of(context)
    with session.client() as client:
        if watch and not session.as_json:
            _watch(client, interval)
            return
        for page in _pages(client, interval if watch else None):
            session.show(page.raw, view(page))


def _pages(client: Client, interval: float | None) -> Iterator[ServerStatus]:
    yield client.status()
    while interval is not None:
        time.sleep(interval)
        yield client.status()


def _watch(client: Client, interval: float) -> None:
    page = client.status()
    with Live(view(page), console=console(), auto_refresh=False, screen=console().is_terminal) as live:
        for page in _pages(client, interval):
            live.update(view(page), refresh=True)


def view(page: ServerStatus) -> Group:
    """The whole status, for the terminal."""
    head = f"Enginehouse {page.version}, up for {seconds(page.uptime)}, {page.leases} requests run, {page.waiting} wait"
    parts: list[Any] = [
        Text(head),
        *_configuration(page.raw.get("configuration") or {}, page.raw.get("gateway") or {}),
        _devices(page.devices),
        _models(page),
        _workers(page),
    ]
    if jobs := _jobs(page.jobs):
        parts.append(jobs)
    if downloads := page.raw.get("downloads"):
        parts.append(_downloads(downloads))
    if waits := page.raw.get("waits"):
        parts.append(_waits(waits))
    parts += [Text(f"{model.id}: {model.needs}", style="yellow") for model in page.models if model.needs]
    parts += [
        Text(f"{model.id} failed: {model.failure['reason']}", style="red")
        for model in page.models
        if model.failure and model.state == "backoff"
    ]
    return Group(*parts)


def _configuration(state: dict[str, Any], gateway: dict[str, Any]) -> list[Text]:
    """What of the configuration file is not in force, in the manager or in the gateway."""
    texts = []
    if error := state.get("error") or gateway.get("configuration_error"):
        texts.append(Text(f"The configuration is invalid, and the last valid one in force: {error}", style="red"))
    if keys := state.get("needs_restart"):
        texts.append(Text(f"Takes effect with the next start: {', '.join(keys)}", style="yellow"))
    return texts


def _devices(devices: list[DeviceMemory]) -> Table:
    table = make_table("device", "in use", "", "of", "for models", "reserved", "other programs", title="\nMemory")
    for device in devices:
        bar = ProgressBar(total=max(device.total, 1), completed=min(device.used, device.total), width=24)
        numbers = [gib(count) for count in (device.total, device.budget, device.committed, device.foreign)]
        table.add_row(device.name, gib(device.used), bar, *numbers)
    return table


def _models(page: ServerStatus) -> Table:
    table = make_table("id", "state", "waiting", "memory", "engine", "tasks", title="\nModels")
    for model in page.models:
        memory = gib(model.footprint_bytes) + (
            "" if model.footprint_learned or not model.footprint_bytes else " (estimate)"
        )
        state = Text(model.state + (", pinned" if model.pinned else ""), style=STYLES.get(model.state, ""))
        table.add_row(model.id, state, str(model.waiting or ""), memory, model.engine, short_list(model.tasks))
    return table


def _workers(page: ServerStatus) -> Table | Text:
    if not page.workers:
        return Text("\nNo model is loaded.", style="dim")
    table = make_table("worker", "state", "pid", "device", "memory", "running", "served", "ends in", title="\nWorkers")
    for worker in page.workers:
        table.add_row(
            worker.worker,
            Text(worker.state, style=STYLES.get(worker.state, "")),
            str(worker.pid or ""),
            ", ".join(worker.devices),
            gib(worker.memory_bytes),
            str(worker.leases),
            str(worker.served),
            seconds(worker.expires_in),
        )
    return table


def _jobs(jobs: dict[str, Any]) -> Text | None:
    if problem := jobs.get("error"):
        return Text(f"\nJobs: {problem}", style="red")
    if not any(jobs.values()):
        return None
    return Text(f"\nJobs: {jobs['running']} run, {jobs['queued']} wait. `enginehouse jobs list` shows them.")


def _downloads(downloads: list[dict[str, Any]]) -> Table:
    table = make_table("source", "phase", "file", "", "of", "left", title="\nDownloads")
    for download in downloads:
        done, total = download["bytes"], download["total"]
        bar = ProgressBar(total=max(total or 1, 1), completed=done, width=24)
        size = f"{file_size(done)} of {file_size(total)}"
        left = seconds(download["seconds_left"])
        table.add_row(download["source"], download["phase"], download.get("file") or "", bar, size, left)
    return table


def _waits(waits: list[dict[str, Any]]) -> Table:
    table = make_table("", "request", "model", "waits for", "since", title="\nQueue")
    for place, wait in enumerate(waits, start=1):
        table.add_row(str(place), wait["request"], wait["model"], wait["message"], seconds(wait["waited"]))
    return table
