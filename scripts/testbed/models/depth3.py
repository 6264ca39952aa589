"""Depth Anything 3: random networks with thin heads over the smallest backbone that the package's code allows.

The package must be importable. It has a registry of networks, to which `register` adds that of a folder.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

importlib.import_module("workers.toolkit.torchvision_shim")  # before torchvision

INFERENCE_CONFIG = "whole.yaml"
"""The network as the weights are for it."""
FULL_CONFIG = "network.yaml"
"""The network with the parts that render new views, as the package's configurations have it."""
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
_GAUSSIAN_MODULES = {"gs_head": {"output_dim": 38}, "gs_adapter": {"sh_degree": 2}}
"""Parts that render new views. The engine leaves them out, since they would need more packages."""


def build_da3_tiny(folder: Path) -> None:
    """An any-view model: depth, confidence and intrinsics."""
    _save(folder, "da3-tiny", _ANY_VIEW)


def build_da3metric_tiny(folder: Path) -> None:
    """A metric model: depth for a camera with a focal length of 300 pixels, and a sky mask."""
    _save(folder, "da3metric-tiny", _MONOCULAR)


def build_da3nested_tiny(folder: Path) -> None:
    """A nested model: any-view depth in the scale of a metric model."""
    nested = {"path": "depth_anything_3.model.da3", "name": "NestedDepthAnything3Net", "args": "as_params"}
    _save(folder, "da3nested-tiny", {"__object__": nested, "anyview": _ANY_VIEW, "metric": _MONOCULAR})


def build_da3_small(folder: Path) -> None:
    """The package's own smallest network, which a process finds without `register`."""
    from depth_anything_3.cfg import load_config
    from depth_anything_3.registry import MODEL_REGISTRY
    from omegaconf import OmegaConf

    config: Any = OmegaConf.to_container(load_config(MODEL_REGISTRY["da3-small"]))
    _save(folder, "da3-small", config)


def network(folder: Path) -> Any:
    """The package's network with the folder's weights."""
    from depth_anything_3.cfg import create_object, load_config
    from safetensors.torch import load_model

    network = create_object(load_config(str(folder / INFERENCE_CONFIG)))
    load_model(_as_saved(network), folder / "model.safetensors")
    return network.eval()


def register(folder: Path, registry: dict[str, str]) -> None:
    """Add the folder's network to the package's registry."""
    registry[json.loads((folder / "config.json").read_text())["model_name"]] = str(folder / FULL_CONFIG)


def _save(folder: Path, name: str, config: dict[str, Any]) -> None:
    """Save weights and config.json as on the hub, with the network's configurations beside them."""
    import torch
    from depth_anything_3.cfg import create_object
    from omegaconf import OmegaConf
    from safetensors.torch import save_model

    torch.manual_seed(0)
    network = create_object(OmegaConf.create(config))
    _vary_outputs(network)
    save_model(_as_saved(network), str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps({"model_name": name}))
    OmegaConf.save(OmegaConf.create(config), folder / INFERENCE_CONFIG)
    if "anyview" in config:
        full = {**config, "anyview": {**_ANY_VIEW, **_GAUSSIAN_MODULES}}
    else:
        full = {**config, **_GAUSSIAN_MODULES}
    OmegaConf.save(OmegaConf.create(full), folder / FULL_CONFIG)


def _as_saved(network: Any) -> Any:
    """The package saves a network as the module `model` of its API class."""
    import torch

    return torch.nn.ModuleDict({"model": network})


def _vary_outputs(network: Any) -> None:
    """Make untrained heads predict different depths, and cameras with a plausible field of view."""
    import torch

    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith(("output_conv2.2.weight", "output_conv2.weight")):
                weight.mul_(20)
            elif name.endswith("cam_dec.fc_fov.0.bias"):
                weight.fill_(1.0)
            elif name.endswith("sky_output_conv2.2.bias"):
                weight.fill_(1.4)
