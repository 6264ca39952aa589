"""A dialect that loads and unloads models. This is the folder's last file, since it ends all workers."""

from __future__ import annotations

from typing import Any

from scripts.testbed.server import RunningServer, eventually


def test_models_are_loaded_and_unloaded(server: RunningServer) -> None:
    def info() -> dict[str, Any]:
        state: dict[str, Any] = server.get("/models/status").json()["models"]["dinov3"]
        return state

    loading = server.post("/models/load", {"model_type": "dinov3", "device": "cpu"})
    assert (loading.status_code, loading.json()["message"]) == (200, "Model dinov3 loaded successfully")
    loaded = loading.json()["model_info"]
    assert loaded == {**info(), "memory_mb": loaded["memory_mb"]}  # which each answer measures
    assert (info()["loaded"], info()["device"]) == (True, "cpu")
    assert loaded["memory_mb"] > 1
    eventually("it is listed", lambda: "dinov3" in server.get("/health").json()["loaded_models"])

    assert server.post("/models/unload", {"model_type": "dinov3"}).status_code == 200
    assert (info()["loaded"], info()["state"]) == (False, "stopped")
    assert server.post("/models/load", {"model_type": "dinov3", "wait": False}).status_code == 202
    eventually("the model is loaded", lambda: info()["loaded"])
    assert server.post("/models/unload-all").status_code == 200
    assert server.get("/models/status").json()["total_memory_mb"] is None
