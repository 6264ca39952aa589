"""Depth Anything 3: its own network, random, with thin heads over its smallest backbone, which its code fixes.

The package must be importable. The library knows networks by the names of files; `register` adds a folder's.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

importlib.import_module("workers.toolkit.torchvision_shim")  # before torchvision

NETWORK = "network.yaml"
_THIN = {"features": 8, "out_channels": [8, 8, 8, 8]}
_ANY_VIEW: dict[str, Any] = {
    "__object__": {"path": "depth_anything_3.model.da3", "name": "DepthAnything3Net", "args": "as_params"},
    "net": {
        "__object__": {"path": "depth_anything_3.model.dinov2.dinov2", "name": "DinoV2", "args": "as_params"},
        "name": "vits", "out_layers": [5, 7, 9, 11], "alt_start": 4, "qknorm_start": 4, "rope_start": 4,
        "cat_token": True,
    },
    "head": {
        "__object__": {"path": "depth_anything_3.model.dualdpt", "name": "DualDPT", "args": "as_params"},
        "dim_in": 768, "output_dim": 2, **_THIN,
    },
    "cam_enc": {
        "__object__": {"path": "depth_anything_3.model.cam_enc", "name": "CameraEnc", "args": "as_params"},
        "dim_out": 384, "trunk_depth": 1,
    },
    "cam_dec": {
        "__object__": {"path": "depth_anything_3.model.cam_dec", "name": "CameraDec", "args": "as_params"},
        "dim_in": 768,
    },
}  # fmt: skip
_MONOCULAR: dict[str, Any] = {
    "__object__": _ANY_VIEW["__object__"],
    "net": {**_ANY_VIEW["net"], "out_layers": [2, 5, 8, 11], "alt_start": -1, "qknorm_start": -1, "rope_start": -1,
            "cat_token": False},
    "head": {
        "__object__": {"path": "depth_anything_3.model.dpt", "name": "DPT", "args": "as_params"},
        "dim_in": 384, "output_dim": 1, **_THIN,
    },
}  # fmt: skip
_DRAWS_VIEWS = {"gs_head": {"output_dim": 38}, "gs_adapter": {"sh_degree": 2}}
"""What networks have besides that is of no use here, and would need more packages."""


def build_da3_tiny(folder: Path) -> None:
    """Any-view: depth, confidence and camera."""
    _save(folder, "da3-tiny", _ANY_VIEW)


def build_da3metric_tiny(folder: Path) -> None:
    """Metric: depth for a camera with a focal length of 300 pixels, and sky."""
    _save(folder, "da3metric-tiny", _MONOCULAR)


def build_da3nested_tiny(folder: Path) -> None:
    """Nested: any-view depth in the metric one's scale."""
    nested = {"path": "depth_anything_3.model.da3", "name": "NestedDepthAnything3Net", "args": "as_params"}
    _save(folder, "da3nested-tiny", {"__object__": nested, "anyview": _ANY_VIEW, "metric": _MONOCULAR})


def build_da3_small(folder: Path) -> None:
    """The library's own smallest network, as a process finds it that knows none of ours."""
    from depth_anything_3.cfg import load_config
    from depth_anything_3.registry import MODEL_REGISTRY
    from omegaconf import OmegaConf

    shape: Any = OmegaConf.to_container(load_config(MODEL_REGISTRY["da3-small"]))
    _save(folder, "da3-small", shape)


def network(folder: Path) -> Any:
    """The library's own network with the folder's weights."""
    from depth_anything_3.cfg import create_object, load_config
    from safetensors.torch import load_model

    made = create_object(load_config(str(folder / "whole.yaml")))
    load_model(_as_saved(made), folder / "model.safetensors")
    return made.eval()


def register(folder: Path, registry: dict[str, str]) -> None:
    """Have the library know the folder's network by its name."""
    registry[json.loads((folder / "config.json").read_text())["model_name"]] = str(folder / NETWORK)


def _save(folder: Path, name: str, shape: dict[str, Any]) -> None:
    """As the library saves it at the hub, and the network's shape beside it, once with what draws views."""
    import torch
    from depth_anything_3.cfg import create_object
    from omegaconf import OmegaConf
    from safetensors.torch import save_model

    torch.manual_seed(0)
    made = create_object(OmegaConf.create(shape))
    _enliven(made)
    save_model(_as_saved(made), str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps({"model_name": name}))
    OmegaConf.save(OmegaConf.create(shape), folder / "whole.yaml")
    drawing = {**shape, "anyview": {**_ANY_VIEW, **_DRAWS_VIEWS}} if "anyview" in shape else {**shape, **_DRAWS_VIEWS}
    OmegaConf.save(OmegaConf.create(drawing), folder / NETWORK)


def _as_saved(made: Any) -> Any:
    """The library saves a network as the part `model` of its front."""
    import torch

    return torch.nn.ModuleDict({"model": made})


def _enliven(made: Any) -> None:
    """Untrained heads say almost the same of every pixel, and that each camera sees through a slit."""
    import torch

    with torch.no_grad():
        for name, weight in made.named_parameters():
            if name.endswith(("output_conv2.2.weight", "output_conv2.weight")):
                weight.mul_(20)
            elif name.endswith("cam_dec.fc_fov.0.bias"):
                weight.fill_(1.0)
            elif name.endswith("sky_output_conv2.2.bias"):
                weight.fill_(1.4)
