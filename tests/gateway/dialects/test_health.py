"""The health page's fields, with and without GPUs, and without a manager."""

from __future__ import annotations

from contract.status import DeviceStatus, ModelStatus, State, Status, WorkerStatus
from gateway.dialects.health import health

GIB = 1 << 30


def device(kind: str) -> DeviceStatus:
    return DeviceStatus(
        id=kind, name=kind, kind=kind, total=4 * GIB, used=GIB, foreign=0, budget=3 * GIB, committed=0
    )  # fmt: skip


def status(*kinds: str) -> Status:
    models = [
        ModelStatus(id="depth", engine="e", tasks=("depth",), aliases=("best", "vitl-hypersim")),
        ModelStatus(id="idle", engine="e", tasks=("depth",), aliases=("vits-vkitti",)),
        ModelStatus(id="dinov3", engine="e", tasks=("features",)),
    ]
    names = {"depth#1": State.READY, "depth#2": State.READY, "idle#1": State.STARTING, "dinov3#1": State.DRAINING}
    workers = [WorkerStatus(worker=name, model=name.partition("#")[0], state=state) for name, state in names.items()]
    devices = [device(kind) for kind in kinds]
    return Status(
        version="v", uptime=1, seq=1, waiting=0, leases=0, devices=devices, workers=workers, models=models
    )  # fmt: skip


def test_depth_models_have_the_depth_servers_names() -> None:
    page = health(status("cpu"), 15)
    assert page.models_loaded == ["vitl_hypersim_518", "dinov3"]
    assert (page.total_model_instances, page.request_counter, page.loaded_models) == (3, 15, ["dinov3"])


def test_devices_are_named_as_torch_does() -> None:
    page = health(status("cuda", "cuda", "cpu"), 0)
    assert (page.device, page.gpu_id, page.gpu_count, page.gpu_available) == ("cuda:0", 0, 2, True)
    page = health(status("cpu"), 0)
    assert (page.device, page.gpu_id, page.gpu_count, page.gpu_available) == ("cpu", None, 0, False)
    assert page.available_memory_gb == 3
    assert health(status("mps"), 0).device == "mps"


def test_gateway_is_healthy_without_a_manager() -> None:
    page = health(None, 7)
    assert (page.status, page.device, page.models_loaded, page.request_counter) == ("healthy", None, [], 7)
