"""Which of the four models are loaded, with their memory; loading and unloading them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field

from contract.errors import InvalidField
from contract.lazy_model import LazyModel
from contract.limits import Name
from contract.status import LOADED, ModelStatus, State, Status
from gateway.dialects.dialect import ControlRoute, DialectRequest, DialectResponse, ModelAction
from gateway.dialects.vision_models.request import MODEL_TYPES
from gateway.forwarding.model_table import ModelTable

MIB = 1 << 20


def _with_underscores(value: Any) -> Any:
    return value.replace("-", "_") if isinstance(value, str) else value


ModelType = Annotated[Literal["sam3", "grounding_dino", "depth_anything", "dinov3"], BeforeValidator(_with_underscores)]
"""A model of this API; hyphens are accepted too."""


class ModelUnloadRequest(DialectRequest):
    """`model_id`, or `model`, is any model by its id; `model_type` alone means the type's own."""

    model_type: ModelType | None = None
    model_id: Name | None = Field(None, validation_alias=AliasChoices("model_id", "model"))

    @property
    def shown(self) -> str:
        """What the client calls the model."""
        return self.model_type or self.model_id or ""


class ModelLoadRequest(ModelUnloadRequest):
    """`device` is where the client expects the model, but config.yaml decides. `wait: false` answers at once: 202."""

    device: Name | None = None
    wait: bool = True


class ModelInfo(LazyModel):
    """One model. `model_id` is its name at the hub, `model` its id; both are null if config.yaml has no entry for it.

    `device` is where it runs, `memory_mb` what it takes there; both are null unless it is loaded.
    """

    model_type: str | None
    model_id: str | None
    model: str | None
    device: str | None
    loaded: bool
    state: str
    memory_mb: float | None
    pinned: bool = False


class DeviceInfo(LazyModel):
    """One device and its memory in MiB."""

    id: str
    name: str
    kind: str
    total_mb: float
    used_mb: float
    free_mb: float


class ModelsStatusResponse(DialectResponse):
    """The four models by type, the memory of those that are loaded, and the devices."""

    models: dict[str, ModelInfo]
    total_memory_mb: float | None
    devices: list[DeviceInfo]


class ModelLoadResponse(DialectResponse):
    """The model after it was loaded or, with `wait: false`, while it is being loaded."""

    message: str
    model_info: ModelInfo


class ModelsMessage(DialectResponse):
    """What was done."""

    message: str


def model_of(request: ModelUnloadRequest, models: ModelTable) -> ModelStatus:
    """The model that a request names, or that of its type. Raises ModelNotFound, which names the entry to add."""
    name = request.model_id or (request.model_type and MODEL_TYPES[request.model_type])
    if not name:
        raise InvalidField("`model_type`: this field is required, or a `model_id`.", param="model_type")
    return models.get_known(name)


def model_infos(status: Status) -> dict[str, ModelInfo]:
    """Every type's model."""
    models = ModelTable(status.models)
    return {name: _info(name, models.find_known(MODEL_TYPES[name]), status) for name in MODEL_TYPES}


def _info(model_type: str | None, model: ModelStatus | None, status: Status) -> ModelInfo:
    workers = [worker for worker in status.workers if model and worker.model == model.id and worker.state in LOADED]
    devices = {device.id: device for device in status.devices}
    names = [devices[id_].kind if id_ in devices else id_ for worker in workers for id_ in worker.devices]
    return ModelInfo(
        model_type=model_type,
        model_id=model and (model.hub_id or model.id),
        model=model and model.id,
        device=", ".join(dict.fromkeys(names)) or None,
        loaded=bool(workers),
        state=model.state if model else "not configured",
        memory_mb=round(sum(worker.memory_bytes for worker in workers) / MIB, 1) if workers else None,
        pinned=bool(model and model.pinned),
    )


def from_status(_: None, status: Status) -> ModelsStatusResponse:
    """The state of all models and devices."""
    infos = model_infos(status)
    memory = sum(info.memory_mb or 0 for info in infos.values())
    devices = [
        DeviceInfo(
            id=device.id,
            name=device.name,
            kind=device.kind,
            total_mb=round(device.total / MIB, 1),
            used_mb=round(device.used / MIB, 1),
            free_mb=round((device.total - device.used) / MIB, 1),
        )
        for device in status.devices
    ]
    return ModelsStatusResponse(models=infos, total_memory_mb=memory or None, devices=devices)


def to_load(request: ModelLoadRequest, models: ModelTable) -> Sequence[ModelAction]:
    """Load one model."""
    model = model_of(request, models)
    return [ModelAction("load", model.id, wait=request.wait, keep_alive=request.keep_alive)]


def from_load(request: ModelLoadRequest, status: Status) -> ModelLoadResponse:
    """How the model is now, with a warning if it is on another device than the client expects."""
    model = model_of(request, ModelTable(status.models))
    info = _info(request.model_type, model, status)
    wanted = (request.device or "").partition(":")[0]
    warnings = None
    if info.device and wanted not in {"", "auto", info.device}:
        place = f"the model runs on {info.device}, and not on {wanted}"
        warnings = [f"`device`: {place}. The entry's `device` in config.yaml decides, and what the machine has."]
    done = "loaded successfully" if info.loaded else "is being loaded"
    return ModelLoadResponse(message=f"Model {request.shown} {done}", model_info=info, warnings=warnings)


def to_unload(request: ModelUnloadRequest, models: ModelTable) -> Sequence[ModelAction]:
    """Unload one model."""
    return [ModelAction("unload", model_of(request, models).id)]


def from_unload(request: ModelUnloadRequest, _: Status) -> ModelsMessage:
    """That the model is unloaded."""
    return ModelsMessage(message=f"Model {request.shown} unloaded successfully")


def to_pin(request: ModelUnloadRequest, models: ModelTable) -> Sequence[ModelAction]:
    """Keep one model's workers."""
    return [ModelAction("pin", model_of(request, models).id)]


def from_pin(request: ModelUnloadRequest, status: Status) -> ModelLoadResponse:
    """How the model is now."""
    info = _info(request.model_type, model_of(request, ModelTable(status.models)), status)
    return ModelLoadResponse(message=f"Model {request.shown} pinned successfully", model_info=info)


def to_unpin(request: ModelUnloadRequest, models: ModelTable) -> Sequence[ModelAction]:
    """Let one model's workers end again."""
    return [ModelAction("unpin", model_of(request, models).id)]


def from_unpin(request: ModelUnloadRequest, status: Status) -> ModelLoadResponse:
    """How the model is now."""
    info = _info(request.model_type, model_of(request, ModelTable(status.models)), status)
    return ModelLoadResponse(message=f"Model {request.shown} unpinned successfully", model_info=info)


def to_unload_all(_: None, models: ModelTable) -> Sequence[ModelAction]:
    """Unload every model that has a worker, those of other APIs too: they share the memory. Loads that wait end."""
    stopped = {State.STOPPED, State.BACKOFF}
    return [ModelAction("unload", m.id) for m in models.models if m.state not in stopped or m.waiting]


_INFO = {
    "model_type": "sam3", "model_id": "facebook/sam3", "model": "sam3", "device": "cuda", "loaded": True,
    "state": "ready", "memory_mb": 3300.0, "pinned": False,
}  # fmt: skip
_FIELDS = {"model": "model_id"}

CONTROLS = (
    ControlRoute(
        "GET", "/models/status", "The four models and the devices' memory", ModelsStatusResponse,
        lambda *_: (), from_status, {"models": {"sam3": _INFO}, "total_memory_mb": 3300.0, "devices": []},
    ),
    ControlRoute(
        "POST", "/models/load", "Load a model", ModelLoadResponse, to_load, from_load,
        {"message": "Model sam3 loaded successfully", "model_info": _INFO},
        ModelLoadRequest, {"model_type": "sam3", "device": "cuda"}, _FIELDS,
    ),
    ControlRoute(
        "POST", "/models/unload", "Unload a model", ModelsMessage, to_unload, from_unload,
        {"message": "Model sam3 unloaded successfully"},
        ModelUnloadRequest, {"model_type": "sam3"}, _FIELDS, admin=True,
    ),
    ControlRoute(
        "POST", "/models/pin", "Keep a model loaded", ModelLoadResponse, to_pin, from_pin,
        {"message": "Model sam3 pinned successfully", "model_info": {**_INFO, "pinned": True}},
        ModelUnloadRequest, {"model_type": "sam3"}, _FIELDS, admin=True,
    ),
    ControlRoute(
        "POST", "/models/unpin", "Let a model be unloaded again", ModelLoadResponse, to_unpin, from_unpin,
        {"message": "Model sam3 unpinned successfully", "model_info": _INFO},
        ModelUnloadRequest, {"model_type": "sam3"}, _FIELDS, admin=True,
    ),
    ControlRoute(
        "POST", "/models/unload-all", "Unload all models", ModelsMessage, to_unload_all,
        lambda *_: ModelsMessage(message="All models unloaded successfully"),
        {"message": "All models unloaded successfully"}, admin=True, by_state=True,
    ),
)  # fmt: skip
