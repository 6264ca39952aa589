"""GET /health: that the gateway is alive, with the fields that other servers' clients read there."""

from __future__ import annotations

from pydantic import BaseModel

from contract.status import LOADED, DeviceStatus, ModelStatus, Status
from gateway.dialects.vision_models.management import model_infos

_DEPTH_SIZE = 518
"""The size of images that a Depth Anything V2 server puts into its models' names."""


class HealthResponse(BaseModel):
    """The gateway is alive. What only the manager knows is null or empty while it does not answer.

    Of a Depth Anything V2 server: `device`, `worker_id`, `gpu_id`, `gpu_count`, `models_loaded` (its names of depth
    models, the ids of others), `total_model_instances` (workers), `request_counter`. Of a vision models server:
    `loaded_models` (types), `available_memory_gb` (on the first GPU, else in RAM), `gpu_available`.

    `configuration_valid` is false while config.yaml is invalid and the last valid one is in force; the status says why.
    """

    status: str = "healthy"
    device: str | None = None
    worker_id: int = 0
    gpu_id: int | None = None
    gpu_count: int = 0
    models_loaded: list[str] = []
    total_model_instances: int = 0
    request_counter: int
    loaded_models: list[str] = []
    available_memory_gb: float | None = None
    gpu_available: bool = False
    configuration_valid: bool | None = None


def health(status: Status | None, request_counter: int) -> HealthResponse:
    """The answer for a status of the manager; None: the manager does not answer."""
    if status is None:
        return HealthResponse(request_counter=request_counter)
    gpus = [device for device in status.devices if device.kind != "cpu"]
    workers = [worker for worker in status.workers if worker.state in LOADED]
    loaded = {worker.model for worker in workers}
    first = next(iter([*gpus, *status.devices]), None)
    return HealthResponse(
        device=first and _device_name(first),
        gpu_id=0 if gpus else None,
        gpu_count=len(gpus),
        models_loaded=[_name(model) for model in status.models if model.id in loaded],
        total_model_instances=len(workers),
        request_counter=request_counter,
        loaded_models=[name for name, info in model_infos(status).items() if info.loaded],
        available_memory_gb=first and round((first.total - first.used) / 2**30, 2),
        gpu_available=bool(gpus),
        configuration_valid=status.configuration.error is None,
    )


def _device_name(device: DeviceStatus) -> str:
    return "cuda:0" if device.kind == "cuda" else device.kind


def _name(model: ModelStatus) -> str:
    """`vitl_hypersim_518` for the model with the alias `vitl-hypersim`, and other models' ids."""
    for alias in model.aliases:
        encoder, _, dataset = alias.partition("-")
        if encoder in {"vits", "vitb", "vitl"} and dataset in {"hypersim", "vkitti"}:
            return f"{encoder}_{dataset}_{_DEPTH_SIZE}"
    return model.id
