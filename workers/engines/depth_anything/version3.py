"""Depth Anything 3 (arXiv:2511.10647): depth, how sure it is of that, and the camera, by its own package's network.

The package's front, `depth_anything_3.api`, is passed by: it imports what only its exports need (moviepy, pycolmap,
trimesh …) and computes in half precision even on a CPU. Network and image processor need little, so that an environment
of a few megabytes on top of the house's is enough: `make env-depth-anything-3`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from PIL import Image

from contract.errors import BadImage, LoadFailed
from contract.tasks.depth import DepthParameters, Intrinsics
from workers.engine import Device
from workers.engines.depth_anything.estimator import Estimate, Estimator, Grid
from workers.toolkit.pretrained import Checkpoint, TorchOptions

log = logging.getLogger(__name__)

_PATCH = 14
_LONGER_SIDE = 504
"""What the package scales pictures to."""
_CANONICAL_FOCAL = 300.0
"""DA3METRIC tells metres as a camera with this focal length, in pixels, would see them (the package's README)."""
_GAUSSIANS = frozenset({"gs_head", "gs_adapter"})
"""Parts of the largest networks that only draw new views."""


class DepthAnything3(Estimator):
    """The any-view models (small to giant), DA3MONO, DA3METRIC and DA3NESTED, each shown one view of a scene."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        if options.quantization:
            raise LoadFailed("`options.quantization` does not exist for Depth Anything 3. Leave it out.")
        if find_spec("depth_anything_3") is None:
            raise LoadFailed(
                "Depth Anything 3 needs the package depth-anything-3, in an environment of its own: run `make "
                "env-depth-anything-3`, and write `python: ./data/envs/depth-anything-3/bin/python` in the model's "
                "entry."
            )
        from depth_anything_3.utils.io.input_processor import InputProcessor

        name = str(checkpoint.config["model_name"])
        self._measures = name.startswith("da3metric")
        self._knows_sky = name.startswith(("da3metric", "da3mono", "da3nested"))
        self.finds_camera = not name.startswith(("da3metric", "da3mono"))
        self._place = torch.device(device.torch)
        self._half = getattr(torch, device.dtype) if device.dtype in {"bfloat16", "float16"} else None
        self._processor = InputProcessor()
        self._network = _network(name, checkpoint).to(self._place).eval()

    def loaded_features(self) -> frozenset[str]:
        return frozenset({"confidence"} if self.finds_camera else ())

    def grid(self, width: int, height: int, shorter: int | None) -> Grid:
        """As the package scales: the longer side to 504, or the shorter one to what a request names."""
        method, side = _scaling(width, height, shorter)
        scale = side / (max(width, height) if method.startswith("upper") else min(width, height))
        return _in_patches(round(height * scale)), _in_patches(round(width * scale))

    def look(self, images: Sequence[Image.Image], shorter: int | None) -> list[Estimate | BadImage]:
        method, side = _scaling(images[0].width, images[0].height, shorter)
        pixels, _, _ = self._processor(list(images), process_res=side, process_res_method=method, sequential=True)
        views = pixels[:, None]  # (scenes, views of each, channels, height, width)
        # Sky is made as far away as what is farthest in the batch, so that such pictures go one by one.
        room = 1 if self._knows_sky else len(images)
        found: list[Estimate | BadImage] = []
        for start in range(0, len(images), room):
            found += self._look(views[start : start + room], images[start : start + room])
        return found

    def fit(self, estimate: Estimate, request: DepthParameters) -> Estimate:
        """Metres of what DA3METRIC tells, where the camera is known."""
        camera = request.camera_intrinsics
        if not (self._measures and camera):
            return estimate
        height, width = estimate.depth.shape
        rows, columns = self.grid(width, height, request.model_input_size)
        focal = (camera.fx * columns / width + camera.fy * rows / height) / 2
        return replace(estimate.scaled(focal / _CANONICAL_FOCAL), metric=True)

    def _look(self, views: Any, images: Sequence[Image.Image]) -> list[Estimate | BadImage]:
        half = torch.autocast(self._place.type, dtype=self._half, enabled=self._half is not None)
        with torch.inference_mode(), torch.random.fork_rng(), half:
            torch.manual_seed(0)  # of large pictures some pixels are drawn: always the same
            try:
                output = self._network(views.to(self._place))
            except AssertionError:  # DA3NESTED, which finds its scale in what is not sky
                return [BadImage("The model sees nothing but sky in this picture, which has no depth.")] * len(images)
            return [_estimate(output, row, image) for row, image in enumerate(images)]


def _scaling(width: int, height: int, shorter: int | None) -> tuple[str, int]:
    """The package's method of scaling, and the side that it takes. Of a strip it would make less than a patch."""
    if shorter is None and _LONGER_SIDE * min(width, height) >= _PATCH * max(width, height):
        return "upper_bound_resize", _LONGER_SIDE
    return "lower_bound_resize", shorter or _PATCH


def _in_patches(length: int) -> int:
    """The nearest multiple of a patch, the larger of two."""
    return (length + _PATCH // 2) // _PATCH * _PATCH


def _network(name: str, checkpoint: Checkpoint) -> Any:
    """The network of that name with the checkpoint's weights, without the parts that draw new views."""
    from depth_anything_3.cfg import create_object, load_config
    from depth_anything_3.registry import MODEL_REGISTRY
    from safetensors.torch import load_model

    file = checkpoint.folder / "model.safetensors"
    if name not in MODEL_REGISTRY or not file.is_file():
        known = ", ".join(MODEL_REGISTRY)
        raise LoadFailed(
            f"{checkpoint.spec.source} must hold model.safetensors and name one of the package's networks in its "
            f"config.json, as those at the hub do: {known}. It names {name}."
        )
    config = load_config(MODEL_REGISTRY[name])
    for part in (config, config.get("anyview") or {}):
        for gaussian in _GAUSSIANS & set(part):
            part.pop(gaussian)
    network = create_object(config)
    named_as_saved = torch.nn.ModuleDict({"model": network})
    missing, _ = load_model(named_as_saved, file, strict=False)
    if missing:
        log.warning("%s lacks weights of %s: %s", file, name, ", ".join(sorted(missing)))
    return network


def _estimate(output: dict[str, Any], row: int, image: Image.Image) -> Estimate:
    """What a network says of one picture, at the picture's size."""
    confidence = output.get("depth_conf")
    return Estimate(
        _at_full_size(output["depth"][row], image),
        metric=bool(output.get("is_metric")),
        confidence=None if confidence is None else _at_full_size(confidence[row], image),
        camera=_camera(output, row, image),
    )


def _at_full_size(values: Any, image: Image.Image) -> Any:
    """Values of shape (1, rows, columns) as numpy float32, (height, width)."""
    size = image.height, image.width
    full = torch.nn.functional.interpolate(values[None].float(), size=size, mode="bilinear", align_corners=False)
    return full[0, 0].cpu().numpy()


def _camera(output: dict[str, Any], row: int, image: Image.Image) -> Intrinsics | None:
    """The intrinsics that the network found, in pixels of the picture; None if it found none that a camera can have."""
    if output.get("intrinsics") is None:
        return None
    rows, columns = output["depth"].shape[-2:]
    across, down = image.width / columns, image.height / rows
    matrix = output["intrinsics"][row, 0].tolist()
    fx, fy, cx, cy = matrix[0][0] * across, matrix[1][1] * down, matrix[0][2] * across, matrix[1][2] * down
    if not (0 < fx < math.inf and 0 < fy < math.inf):
        return None
    return Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy)
