"""Where a model could go, and what it would take there."""

from __future__ import annotations

from typing import Any

from manager.memory import MemoryDevice
from manager.memory.monitor import MemoryMonitor
from manager.scheduling.placement import places, settle
from manager.scheduling.plan import Candidate, ModelView
from manager.state.model import Model


def places_of(model: Model, gauge: MemoryMonitor) -> list[MemoryDevice]:
    """The devices that the model may go to."""
    return places(model.spec, model.offer.devices, list(gauge.devices.values()))


def footprint(model: Model, gauge: MemoryMonitor, device: MemoryDevice) -> tuple[int, bool]:
    """Bytes that the model takes on a device, and whether they were learned."""
    return gauge.footprint(model.spec, device, settle(model.spec, model.offer.devices, device).kind)


def first_footprint(model: Model, gauge: MemoryMonitor) -> tuple[int, bool]:
    """The same for the first device that it may go to; nothing if there is none."""
    return next((footprint(model, gauge, device) for device in places_of(model, gauge)), (0, False))


def view(model: Model, gauge: MemoryMonitor) -> ModelView:
    """The model as the plan sees it."""
    found = places_of(model, gauge)
    candidates = tuple(Candidate((device.id,), *footprint(model, gauge, device)) for device in found)
    replicas = len(found) if model.spec.replicas == "per-gpu" else model.spec.replicas
    return ModelView(model.id, candidates, replicas, model.retry_at)


def numbers(model: Model, gauge: MemoryMonitor, budgets: dict[str, int]) -> dict[str, Any]:
    """What a refusal tells about memory, in bytes."""
    return {
        "model": model.id,
        "needs_bytes": first_footprint(model, gauge)[0],
        "available_bytes": {device.id: budgets[device.id] for device in places_of(model, gauge)},
    }
