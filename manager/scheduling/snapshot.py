"""Turns the scheduler's state into the plan's snapshot, and computes what models need on which devices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from manager.memory.budget import Ceilings
from manager.memory.device import MemoryDevice
from manager.memory.monitor import MemoryMonitor
from manager.scheduling import placement
from manager.scheduling.views import Candidate, ModelView, WaiterView, WorkerView
from manager.scheduling.wait_queue import Waiter
from manager.state.model import Model
from manager.state.process import Placement
from manager.state.worker import Worker


def worker_view(worker: Worker) -> WorkerView:
    """The worker as the plan sees it."""
    return WorkerView(
        name=worker.name,
        model=worker.model,
        state=worker.state,
        leases=worker.leases,
        job_leases=worker.job_leases,
        guarded_until=worker.guarded_until,
        devices=worker.placement.devices,
        committed=worker.committed,
        last_used=worker.last_used,
        started=worker.started,
        evictable=not worker.pinned,
        resumable=worker.resumable,
        expires=worker.expires,
    )


def waiter_view(waiter: Waiter) -> WaiterView:
    """The waiting request as the plan sees it."""
    return WaiterView(waiter.ticket, waiter.model, waiter.since, waiter.claim.job)


def model_view(model: Model, monitor: MemoryMonitor) -> ModelView:
    """The model as the plan sees it."""
    devices = possible_devices(model, monitor)
    candidates = tuple(
        Candidate((device.id,), *footprint(model, monitor, device), required(model, monitor, device))
        for device in devices
    )
    replicas = len(devices) if model.spec.replicas == "per-gpu" else model.spec.replicas
    return ModelView(model.id, candidates, replicas, model.retry_at)


def possible_devices(model: Model, monitor: MemoryMonitor) -> list[MemoryDevice]:
    """The devices on which the model may run."""
    return placement.possible_devices(model.spec, model.capabilities.devices, list(monitor.devices.values()))


def placement_on(model: Model, device: MemoryDevice) -> Placement:
    """The model's placement on one of its possible devices."""
    return placement.place(model.spec, model.capabilities.devices, device)


def assigned_placement(model: Model, monitor: MemoryMonitor, device: str) -> Placement:
    """The placement for a worker that starts there, which learns how much memory models may have."""
    return replace(placement_on(model, monitor.devices[device]), memory=monitor.largest_budgets()[device])


def footprint(model: Model, monitor: MemoryMonitor, device: MemoryDevice) -> tuple[int, bool]:
    """Bytes that the model needs on a device, and whether that was measured rather than guessed."""
    return monitor.footprint(model.spec, placement_on(model, device))


def required(model: Model, monitor: MemoryMonitor, device: MemoryDevice) -> int:
    """Bytes without which the model cannot be loaded on a device; 0 if unknown."""
    return monitor.required(model.spec, placement_on(model, device))


def first_footprint(model: Model, monitor: MemoryMonitor) -> tuple[int, bool]:
    """The footprint on the first device on which the model may run; `(0, False)` if there is none."""
    return next((footprint(model, monitor, device) for device in possible_devices(model, monitor)), (0, False))


def memory_numbers(model: Model, monitor: MemoryMonitor, workers: Iterable[Worker]) -> dict[str, Any]:
    """What the error of a request that waited in vain says about memory, in bytes."""
    workers = list(workers)
    budgets, devices = monitor.budgets(workers), possible_devices(model, monitor)
    return {
        "model": model.id,
        "needs_bytes": first_footprint(model, monitor)[0],
        "available_bytes": {device.id: budgets[device.id] for device in devices},
        "ceilings": [monitor.ceilings(device, workers).details() for device in devices],
    }


def needs(model: Model, monitor: MemoryMonitor, workers: Iterable[Worker]) -> dict[str, tuple[int, Ceilings]]:
    """By device, the bytes that the model needs there, and what limits the memory that it could get."""
    workers = list(workers)
    devices = possible_devices(model, monitor)
    return {d.id: (footprint(model, monitor, d)[0], monitor.ceilings(d, workers)) for d in devices}


def fits(model: Model, monitor: MemoryMonitor) -> bool | None:
    """Whether one of the model's devices could ever have room for it; None if its size is not known."""
    most = monitor.largest_budgets()
    devices = possible_devices(model, monitor)
    rooms = [(footprint(model, monitor, device)[0], most.get(device.id, 0)) for device in devices]
    if devices and not any(need for need, _ in rooms):
        return None
    return any(need <= room for need, room in rooms)


def load_requirements(
    model: Model, monitor: MemoryMonitor, workers: Iterable[Worker]
) -> dict[str, tuple[int, Ceilings]]:
    """By device, what loading the model takes in bytes, and what limits the memory that it could get there."""
    workers = list(workers)
    devices = possible_devices(model, monitor)
    return {d.id: (required(model, monitor, d), monitor.ceilings(d, workers)) for d in devices}
