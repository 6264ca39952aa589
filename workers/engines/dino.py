"""Vectors of pictures by DINOv2 and DINOv3: one for the whole, one for each patch, from any layer.

Sources: arXiv:2304.07193, arXiv:2309.16588 (registers), arXiv:2508.10104; checkpoints facebook/dinov2-…, dinov3-….
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, ClassVar

from pydantic import Field

from contract.arrays import Array, as_base64, as_list
from contract.config import ModelSpec
from contract.errors import InvalidField
from contract.tasks.features import FEATURES, FeaturesItem, FeaturesRequest, FeaturesResponse, Layer, Patches
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit.image_batches import BatchImage, ImageBatcher, size_key
from workers.toolkit.pretrained import TorchOptions, checkpoint, set_up_torch


class DinoOptions(TorchOptions):
    """`batch_size` is how many pictures go through the model at once."""

    batch_size: int = Field(16, ge=1)


def _alike(request: FeaturesRequest) -> Hashable:
    """Requests that need the same of the model: hidden layers, or the last one alone."""
    return bool(request.layers)


class Dino(Engine):
    """Image features by DINOv2 and DINOv3: pooled, as a grid of patches, and of chosen layers.

    `pooled` is the library's `pooler_output`: the normalised class token, or for ConvNeXt the mean over the picture.
    Chosen layers come as the blocks hand them on, before the last layer's normalisation; their `pooled` is the class
    token.
    """

    Options: ClassVar[type[engine.Options]] = DinoOptions
    model_types: ClassVar[tuple[str, ...]] = ("dinov2", "dinov2_with_registers", "dinov3_vit", "dinov3_convnext")
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        "transformers:AutoModel",
        "transformers:AutoImageProcessor",
        "transformers.models.dinov2.modeling_dinov2",
        "transformers.models.dinov3_vit.modeling_dinov3_vit",
        "transformers.models.dinov3_vit.image_processing_dinov3_vit",
        "transformers.models.bit.image_processing_bit",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        options = DinoOptions.model_validate(spec.options)
        set_up_torch(options)
        found = checkpoint(spec, Dino)
        self._processor = found.processor("AutoImageProcessor")
        self._model = found.model("AutoModel", device, options)
        self._convolves = found.model_type == "dinov3_convnext"
        self._name = spec.id
        config = self._model.config
        self._depth: int = len(config.depths) if self._convolves else config.num_hidden_layers
        self._before = 1 + getattr(config, "num_register_tokens", 0)  # tokens before those of the patches
        size = self._processor.crop_size or self._processor.size
        one_size = size.get("height") and size.get("width")
        self._pictures = ImageBatcher(spec.id, options.batch_size, group_by=(lambda _: None) if one_size else size_key)

    @serves(FEATURES, max_batch=16, group=_alike)
    def extract(self, calls: list[Call[FeaturesRequest]]) -> Iterator[tuple[Call[FeaturesRequest], Output]]:
        """The vectors of the calls' pictures, computed together."""
        yield from self._pictures.answer(calls, self._vectors, FeaturesResponse, check=self._check)

    def _check(self, picture: BatchImage[FeaturesRequest]) -> None:
        least = 1 if self._convolves else 0
        for layer in picture.request.layers or ():
            number = layer + self._depth + 1 if layer < 0 else layer
            if not least <= number <= self._depth:
                raise InvalidField(
                    f"`layers`: {self._name} has no layer {layer}. It has {self._depth}: ask for {least} to "
                    f"{self._depth}, or count from the last one with -1.",
                    param="layers",
                )

    def _vectors(self, pictures: list[BatchImage[FeaturesRequest]]) -> list[FeaturesItem]:
        import torch

        inputs = self._processor([picture.pil for picture in pictures], return_tensors="pt")
        inputs = inputs.to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            output = self._model(**inputs, output_hidden_states=_alike(pictures[0].request))
        grid = self._grid(inputs["pixel_values"].shape[-2:])
        return [self._item(picture, output, row, grid) for row, picture in enumerate(pictures)]

    def _grid(self, pixels: Any) -> tuple[int, int]:
        """Rows and columns of the last layer's patches."""
        height, width = pixels
        stride = 32 if self._convolves else self._model.config.patch_size
        return height // stride, width // stride

    def _item(self, picture: BatchImage[FeaturesRequest], output: Any, row: int, grid: tuple[int, int]) -> FeaturesItem:
        request = picture.request
        before = 1 if self._convolves else self._before
        patches = output.last_hidden_state[row, before:].unflatten(0, grid)
        whole = _Vectors(output.pooler_output[row], patches)
        layers = [self._layer(output, layer, row, grid, request) for layer in request.layers or ()]
        return FeaturesItem(
            **picture.item_fields,
            dimensions=output.last_hidden_state.shape[-1],
            pooled=whole.pooled(request),
            patches=whole.patches(request),
            layers=layers or None,
        )

    def _layer(self, output: Any, layer: int, row: int, grid: tuple[int, int], request: FeaturesRequest) -> Layer:
        state = output.hidden_states[layer][row]
        if self._convolves:  # (channels, rows, columns), each layer with a grid of its own
            vectors = _Vectors(state.mean((-2, -1)), state.permute(1, 2, 0))
        else:
            vectors = _Vectors(state[0], state[self._before :].unflatten(0, grid))
        return Layer(layer=layer, pooled=vectors.pooled(request), patches=vectors.patches(request))


class _Vectors:
    """What a layer says of one picture: tensors of shape (dimensions,) and (rows, columns, dimensions)."""

    def __init__(self, whole: Any, parts: Any) -> None:
        self._whole, self._parts = whole, parts

    def pooled(self, request: FeaturesRequest) -> Array | None:
        return _array(self._whole, request) if request.pooled else None

    def patches(self, request: FeaturesRequest) -> Patches | None:
        return Patches(shape=tuple(self._parts.shape), data=_array(self._parts, request)) if request.patches else None


def _array(tensor: Any, request: FeaturesRequest) -> Array:
    tensor = tensor.float()
    if request.normalize:
        tensor = tensor / tensor.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    show = as_base64 if request.encoding_format == "base64" else as_list
    return Array.from_numpy(tensor.contiguous().cpu().numpy(), show)
