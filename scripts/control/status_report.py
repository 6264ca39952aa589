"""Formats the status of an installation for the terminal: programs, memory, models and workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from contract.config import OPEN_WARNING
from contract.status import DownloadStatus, ModelStatus, Status, WorkerStatus
from scripts.control.installation import Installation

GIB = 2**30


def status_lines(installation: Installation) -> Iterable[str]:
    """The report, line by line."""
    for daemon in installation.daemons:
        process, address = daemon.process, daemon.address or ""
        running = f"pid {process.pid:<8} {address}" if process else address or "not running in the background"
        yield f"{daemon.name:8} {running}"
    if installation.settings.is_open:
        yield OPEN_WARNING
    status = installation.status()
    if status is None:
        yield "The manager does not answer. `make start` starts Enginehouse, `make logs` shows the logs."
        return
    yield f"ready    {'yes' if installation.is_ready() else 'no'}"
    if error := status.configuration.error:
        yield f"The configuration is invalid, and the last valid one in force: {error}"
    yield from tables(status)


def tables(status: Status) -> Iterable[str]:
    """The tables of the manager's status, line by line."""
    yield ""
    header = ("DEVICE", "TOTAL", "IN USE", "BUDGET", "RESERVED")
    rows = [(d.name, *map(_size, (d.total, d.used, d.budget, d.committed))) for d in status.devices]
    yield from table(header, rows)
    yield ""
    yield from table(("MODEL", "ENGINE", "TASKS", "STATE", "MEMORY"), [_model(model) for model in status.models])
    if status.downloads:
        yield ""
        header = ("DOWNLOAD", "PHASE", "DONE", "OF", "FILE")
        yield from table(header, [_download(download) for download in status.downloads])
    yield from (f"\n{model.id}: {model.needs}" for model in status.models if model.needs)
    if status.workers:
        yield ""
        yield from table(("WORKER", "STATE", "PID", "MEMORY", "SERVED"), [_worker(w) for w in status.workers])


def _model(model: ModelStatus) -> Sequence[str]:
    memory = _size(model.footprint_bytes) + ("" if model.footprint_learned else " (estimate)")
    return model.id, model.engine, ", ".join(model.tasks), model.state, memory


def _download(download: DownloadStatus) -> Sequence[str]:
    sizes = ("" if count is None else f"{count / 1e6:.0f} MB" for count in (download.bytes, download.total))
    return download.source, download.phase or "", *sizes, download.file or ""


def _worker(worker: WorkerStatus) -> Sequence[str]:
    return worker.worker, worker.state, str(worker.pid or ""), _size(worker.memory_bytes), str(worker.served)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Lines in columns, each as wide as its longest cell."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _size(count: int | None) -> str:
    return "" if count is None else f"{count / GIB:.1f} GiB"
