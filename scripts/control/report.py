"""Shows how the house is: programs, memory, models and workers, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from contract.status import ModelStatus, Status, WorkerStatus
from scripts.control.site import Site

GIB = 2**30


def lines(site: Site) -> Iterable[str]:
    """The report, line by line."""
    for program in (site.manager, site.gateway):
        process = program.process
        where = program.address or ""
        yield f"{program.name:8} " + (f"pid {process.pid:<8} {where}" if process else where or "not in the background")
    status = site.status()
    if status is None:
        yield "the manager does not answer; `make start` starts the house, `make logs` shows what it wrote"
        return
    yield f"ready    {'yes' if site.is_ready() else 'no'}"
    yield from _about(status)


def _about(status: Status) -> Iterable[str]:
    yield ""
    header = ("DEVICE", "TOTAL", "IN USE", "BUDGET", "HELD")
    rows = [(d.name, *map(_size, (d.total, d.used, d.budget, d.committed))) for d in status.devices]
    yield from table(header, rows)
    yield ""
    yield from table(("MODEL", "ENGINE", "TASKS", "STATE", "TAKES"), [_model(model) for model in status.models])
    if status.workers:
        yield ""
        yield from table(("WORKER", "STATE", "PID", "MEMORY", "SERVED"), [_worker(w) for w in status.workers])


def _model(model: ModelStatus) -> Sequence[str]:
    takes = _size(model.footprint_bytes) + ("" if model.footprint_learned else " (a guess)")
    return model.id, model.engine, ", ".join(model.tasks), model.state, takes


def _worker(worker: WorkerStatus) -> Sequence[str]:
    return worker.worker, worker.state, str(worker.pid or ""), _size(worker.memory_bytes), str(worker.served)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Lines with columns as wide as what stands in them."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _size(count: int | None) -> str:
    return "" if count is None else f"{count / GIB:.1f} GiB"
