"""Depth Anything 3 (arXiv:2511.10647): depth, confidence and camera intrinsics, with the network of its own package.

This module does not use the package's API, `depth_anything_3.api`: that imports what only its exports need (moviepy,
pycolmap, trimesh …) and computes in half precision even on a CPU. Network and image processor need little, so that a
few megabytes of packages on top of the main environment are enough: `make env-depth-anything-3`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from PIL import Image

from contract.errors import BadImage, LoadFailed
from contract.tasks.depth import DepthParameters, Intrinsics
from workers.engine import Device
from workers.engines.depth_anything.estimator import DepthEstimate, DepthEstimator, InputSize
from workers.toolkit.finite import is_finite
from workers.toolkit.pretrained import Checkpoint, TorchOptions

log = logging.getLogger(__name__)

_PATCH_SIZE = 14
_DEFAULT_LONGER_SIDE = 504
"""The length in pixels to which the package scales an image's longer side."""
_CANONICAL_FOCAL_LENGTH = 300.0
"""DA3METRIC predicts metres for a camera with this focal length in pixels (the package's README)."""
_GAUSSIAN_MODULES = frozenset({"gs_head", "gs_adapter"})
"""Parts of the largest networks that only render new views."""


class DepthAnything3(DepthEstimator):
    """The any-view models (small to giant), DA3MONO, DA3METRIC and DA3NESTED. Each image is a scene of its own."""

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
        self._is_metric = name.startswith("da3metric")
        self._predicts_sky = name.startswith(("da3metric", "da3mono", "da3nested"))
        self.predicts_intrinsics = not name.startswith(("da3metric", "da3mono"))
        self.features = frozenset({"confidence"} if self.predicts_intrinsics else ())
        self._device = torch.device(device.torch)
        self._half_dtype = getattr(torch, device.dtype) if device.dtype in {"bfloat16", "float16"} else None
        self._processor = InputProcessor()
        self._network = _network(name, checkpoint).to(self._device).eval()

    def input_size(self, width: int, height: int, shorter_side: int | None) -> InputSize:
        """Scaled as the package does: the longer side to 504 pixels, or the shorter one to what a request names."""
        method, side = _resize_method(width, height, shorter_side)
        scale = side / (max(width, height) if method.startswith("upper") else min(width, height))
        return _to_patches(round(height * scale)), _to_patches(round(width * scale))

    def estimate(self, images: Sequence[Image.Image], shorter_side: int | None) -> list[DepthEstimate | BadImage]:
        method, side = _resize_method(images[0].width, images[0].height, shorter_side)
        pixels, _, _ = self._processor(list(images), process_res=side, process_res_method=method, sequential=True)
        scenes = pixels[:, None]  # (scenes, views of each, channels, height, width)
        # The network puts sky as far away as the farthest point of the whole batch: one image at a time, then.
        batch_size = 1 if self._predicts_sky else len(images)
        estimates: list[DepthEstimate | BadImage] = []
        for start in range(0, len(images), batch_size):
            end = start + batch_size
            estimates += self._estimate_batch(scenes[start:end], images[start:end])
        return estimates

    def adjusted(self, estimate: DepthEstimate, request: DepthParameters) -> DepthEstimate:
        """Depth in metres from DA3METRIC, if the request gives the camera's intrinsics."""
        intrinsics = request.camera_intrinsics
        if not (self._is_metric and intrinsics):
            return estimate
        height, width = estimate.depth.shape
        input_height, input_width = self.input_size(width, height, request.model_input_size)
        focal_length = (intrinsics.fx * input_width / width + intrinsics.fy * input_height / height) / 2
        return replace(estimate.scaled(focal_length / _CANONICAL_FOCAL_LENGTH), metric=True)

    def _estimate_batch(self, scenes: Any, images: Sequence[Image.Image]) -> list[DepthEstimate | BadImage]:
        half = torch.autocast(self._device.type, dtype=self._half_dtype, enabled=self._half_dtype is not None)
        with torch.random.fork_rng(), half:
            torch.manual_seed(0)  # the network samples some pixels of large images: always the same ones
            try:
                outputs = self._network(scenes.to(self._device))
            except AssertionError:  # DA3NESTED, which takes its scale from everything but the sky
                if is_finite(self._network.da3_metric(scenes.to(self._device)).sky):
                    return [BadImage("The model sees only sky in this image, which has no depth.")] * len(images)
                return [DepthEstimate(np.full((image.height, image.width), np.nan, np.float32)) for image in images]
            return [_estimate_of(outputs, row, image) for row, image in enumerate(images)]


def _resize_method(width: int, height: int, shorter_side: int | None) -> tuple[str, int]:
    """The package's name for how it scales an image, and the side that this takes.

    By default a narrow strip would become thinner than one patch: it gets a shorter side of one patch.
    """
    if shorter_side is None and _DEFAULT_LONGER_SIDE * min(width, height) >= _PATCH_SIZE * max(width, height):
        return "upper_bound_resize", _DEFAULT_LONGER_SIDE
    return "lower_bound_resize", shorter_side or _PATCH_SIZE


def _to_patches(length: int) -> int:
    """The nearest multiple of the patch size; of two equally near ones, the larger."""
    return (length + _PATCH_SIZE // 2) // _PATCH_SIZE * _PATCH_SIZE


def _network(name: str, checkpoint: Checkpoint) -> Any:
    """The network of that name with the checkpoint's weights, without the parts that render new views."""
    from depth_anything_3.cfg import create_object, load_config
    from depth_anything_3.registry import MODEL_REGISTRY
    from safetensors.torch import load_model

    file = checkpoint.folder / "model.safetensors"
    if name not in MODEL_REGISTRY or not file.is_file():
        known = ", ".join(MODEL_REGISTRY)
        raise LoadFailed(
            f"{checkpoint.spec.source} must contain model.safetensors, and its config.json must name one of the "
            f"package's networks, as on the hub: {known}. It names {name}."
        )
    config = load_config(MODEL_REGISTRY[name])
    for part in (config, config.get("anyview") or {}):
        for module in _GAUSSIAN_MODULES & set(part):
            part.pop(module)
    network = create_object(config)
    as_saved = torch.nn.ModuleDict({"model": network})  # the files' names of weights begin with `model.`
    missing, _ = load_model(as_saved, file, strict=False)
    if missing:
        log.warning("%s lacks weights of %s: %s", file, name, ", ".join(sorted(missing)))
    return network


def _estimate_of(outputs: dict[str, Any], row: int, image: Image.Image) -> DepthEstimate:
    """The estimate for one image of a batch, at the image's own size."""
    confidence = outputs.get("depth_conf")
    return DepthEstimate(
        _resized(outputs["depth"][row], image),
        metric=bool(outputs.get("is_metric")),
        confidence=None if confidence is None else _resized(confidence[row], image),
        intrinsics=_intrinsics(outputs, row, image),
    )


def _resized(values: Any, image: Image.Image) -> Any:
    """Values of shape (1, rows, columns), interpolated to the image's size: numpy float32, (height, width)."""
    size = image.height, image.width
    resized = torch.nn.functional.interpolate(values[None].float(), size=size, mode="bilinear", align_corners=False)
    return resized[0, 0].cpu().numpy()


def _intrinsics(outputs: dict[str, Any], row: int, image: Image.Image) -> Intrinsics | None:
    """The predicted intrinsics in pixels of the image; None if there are none, or none that a camera can have."""
    if outputs.get("intrinsics") is None:
        return None
    rows, columns = outputs["depth"].shape[-2:]
    x_scale, y_scale = image.width / columns, image.height / rows
    matrix = outputs["intrinsics"][row, 0].tolist()
    fx, fy = matrix[0][0] * x_scale, matrix[1][1] * y_scale
    cx, cy = matrix[0][2] * x_scale, matrix[1][2] * y_scale
    if not (0 < fx < math.inf and 0 < fy < math.inf):
        return None
    return Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy)
