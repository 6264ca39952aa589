"""Image features with DINOv2 and DINOv3: one vector for the image, one for each patch, from any layer.

Sources: arXiv:2304.07193, arXiv:2309.16588 (registers), arXiv:2508.10104; checkpoints facebook/dinov2-…, dinov3-….
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from contract.arrays import Array, as_base64, as_list
from contract.config import ModelSpec
from contract.errors import InvalidField
from contract.tasks.features import (
    FEATURES,
    FeaturesItem,
    FeaturesRequest,
    FeaturesResponse,
    Layer,
    Patches,
    TokenVectors,
)
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit.image_batches import BatchImage, ImageBatcher
from workers.toolkit.image_processors import without_padding
from workers.toolkit.model_families import open_checkpoint
from workers.toolkit.pretrained import TorchOptions


class DinoOptions(TorchOptions):
    """`batch_size` is the maximum number of images in one forward pass."""

    batch_size: int = Field(16, ge=1)


def _needs_hidden_states(request: FeaturesRequest) -> Hashable:
    """Whether the model must return all hidden states for a request, or only those of the last layer."""
    return bool(request.layers)


class Dino(Engine):
    """Image features with DINOv2 and DINOv3: pooled, as a grid of patches, and of chosen layers.

    `pooled` is the `pooler_output` of transformers: the normalised class token or, for ConvNeXt, the mean over the
    image. Features of chosen layers are the blocks' raw outputs, before the final layer normalisation; their `pooled`
    is the class token (for ConvNeXt the mean).
    """

    extras: ClassVar[tuple[str, ...]] = ("vision",)
    Options: ClassVar[type[engine.Options]] = DinoOptions
    model_types: ClassVar[tuple[str, ...]] = ("dinov2", "dinov2_with_registers", "dinov3_vit", "dinov3_convnext")
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        "transformers:AutoModel",
        "transformers:AutoImageProcessor",
        "transformers.models.dinov2.modeling_dinov2",
        "transformers.models.dinov3_vit.modeling_dinov3_vit",
        "transformers.models.dinov3_vit.image_processing_dinov3_vit",
        "transformers.models.bit.image_processing_bit",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load model and image processor. Raises LoadFailed for a checkpoint of another type."""
        options, checkpoint = open_checkpoint(spec, type(self), DinoOptions)
        self._name = spec.id
        self._processor = checkpoint.processor("AutoImageProcessor")
        self._model = checkpoint.model("AutoModel", device, options)
        self._batcher = ImageBatcher(spec.id, options.batch_size, group_by=without_padding(self._processor))
        config = self._model.config
        self._is_convnext = checkpoint.model_type == "dinov3_convnext"
        self._layer_count: int = len(config.depths) if self._is_convnext else config.num_hidden_layers
        # A ViT puts the class token and the registers before its patches; a ConvNeXt only its pooled output.
        self._prefix_tokens = 1 + (0 if self._is_convnext else getattr(config, "num_register_tokens", 0))

    @serves(FEATURES, max_batch=16, group=_needs_hidden_states)
    def extract(self, calls: list[Call[FeaturesRequest]]) -> Iterator[tuple[Call[FeaturesRequest], Output]]:
        """Compute the features of all calls' images in shared batches."""
        yield from self._batcher.answer(calls, self._extract_batch, FeaturesResponse, check=self._check)

    def _check(self, image: BatchImage[FeaturesRequest]) -> None:
        """Raise InvalidField for a layer that the model does not have."""
        first = 1 if self._is_convnext else 0
        for layer in image.request.layers or ():
            index = layer + self._layer_count + 1 if layer < 0 else layer
            if not first <= index <= self._layer_count:
                raise InvalidField(
                    f"`layers`: {self._name} has no layer {layer}. It has {self._layer_count}: ask for {first} to "
                    f"{self._layer_count}, or count from the last one with -1.",
                    param="layers",
                )

    def _extract_batch(self, batch: list[BatchImage[FeaturesRequest]]) -> list[FeaturesItem]:
        import torch

        inputs = self._processor([image.pil for image in batch], return_tensors="pt")
        inputs = inputs.to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            outputs = self._model(**inputs, output_hidden_states=_needs_hidden_states(batch[0].request))
        grid = self._patch_grid(*inputs["pixel_values"].shape[-2:])
        return [self._item(image, outputs, row, grid) for row, image in enumerate(batch)]

    def _patch_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the last layer's patches, for an input of that size in pixels."""
        stride = 32 if self._is_convnext else self._model.config.patch_size
        return height // stride, width // stride

    def _item(self, image: BatchImage[FeaturesRequest], outputs: Any, row: int, grid: tuple[int, int]) -> FeaturesItem:
        request = image.request
        patches = outputs.last_hidden_state[row, self._prefix_tokens :].unflatten(0, grid)
        features = _ImageFeatures(outputs.pooler_output[row], patches)
        layers = [self._layer(outputs, layer, row, grid, request) for layer in request.layers or ()]
        return FeaturesItem(
            **image.item_fields,
            dimensions=outputs.last_hidden_state.shape[-1],
            **features.requested(request),
            tokens=_token_vectors(outputs.last_hidden_state[row], request) if request.tokens else None,
            layers=layers or None,
        )

    def _layer(self, outputs: Any, layer: int, row: int, grid: tuple[int, int], request: FeaturesRequest) -> Layer:
        state = outputs.hidden_states[layer][row]
        if self._is_convnext:  # (channels, rows, columns), each layer with a grid of its own
            features = _ImageFeatures(state.mean((-2, -1)), state.permute(1, 2, 0))
        else:
            features = _ImageFeatures(state[0], state[self._prefix_tokens :].unflatten(0, grid))
        return Layer(layer=layer, **features.requested(request))


@dataclass(frozen=True, slots=True)
class _ImageFeatures:
    """One layer's features of one image: tensors of shape (dimensions,) and (rows, columns, dimensions)."""

    pooled: Any
    patches: Any

    def requested(self, request: FeaturesRequest) -> dict[str, Any]:
        """The fields `pooled` and `patches` of an answer; None for what the request does not want."""
        pooled = _array(self.pooled, request) if request.pooled else None
        patches = None
        if request.patches:
            patches = Patches(shape=tuple(self.patches.shape), data=_array(self.patches, request))
        return {"pooled": pooled, "patches": patches}


def _token_vectors(tokens: Any, request: FeaturesRequest) -> TokenVectors:
    """All tokens of the last layer, (tokens, dimensions)."""
    return TokenVectors(shape=tuple(tokens.shape), data=_array(tokens, request))


def _array(tensor: Any, request: FeaturesRequest) -> Array:
    """A tensor of vectors as float32, scaled to length one if the request says so."""
    tensor = tensor.float()
    if request.normalize:
        tensor = tensor / tensor.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    show = as_base64 if request.encoding_format == "base64" else as_list
    return Array.from_numpy(tensor.contiguous().cpu().numpy(), show)
