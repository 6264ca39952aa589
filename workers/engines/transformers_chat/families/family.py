"""The general adapter: how prompts are prepared for the forward pass, and which methods families may override."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from workers.engines.transformers_chat import library
from workers.engines.transformers_chat.prompt_row import PromptImage, PromptRow, moved

_PER_TOKEN = frozenset({"input_ids", "attention_mask", "position_ids", "token_type_ids", "mm_token_type_ids"})
"""A processor's outputs for text; all other outputs are for images."""

Pixels = Mapping[str, Any]


class ChatFamily:
    """Serves all text models, and vision-language models of families without an adapter.

    Without an adapter, a prompt with images is read whole by the model's own forward pass. An adapter splits a prompt's
    images (`split`) and stacks them for the vision encoder (`stack`), so each is encoded once and prompts are chunked.
    """

    model_types: ClassVar[frozenset[str]] = frozenset()
    """The model types that an adapter serves. Each is tested against `generate`."""
    axes: ClassVar[int] = 1
    """How many numbers a token's position has."""

    def __init__(self, model: Any) -> None:
        self.model = model

    # Overridden by adapters -----------------------------------------------------------------------------------

    def split(self, inputs: Mapping[str, Any]) -> list[Pixels]:
        """The images of one prompt, or their tiles, in order. Empty if the prompt must be read whole."""
        raise NotImplementedError

    def stack(self, images: Sequence[Pixels]) -> Pixels:
        """The vision encoder's inputs for several images together."""
        raise NotImplementedError

    def counts(self, images: Sequence[Pixels], tokens: int) -> list[int]:
        """The number of tokens of each image, given their sum; equal numbers by default."""
        return [tokens // len(images)] * len(images)

    def number(self, inputs: Mapping[str, Any]) -> tuple[Any, int]:  # noqa: ARG002 - for adapters
        """The positions (axes, tokens) of a prompt with images, or None to count from 0, and its `PromptRow.offset`."""
        return None, 0

    # Shared by all ---------------------------------------------------------------------------------------------

    @property
    def has_adapter(self) -> bool:
        """Whether this is an adapter for the model's family."""
        return bool(self.model_types)

    def row(self, inputs: Mapping[str, Any]) -> PromptRow:
        """Make a row from a processor's outputs for one prompt. Raises ValueError if images and tokens do not match."""
        ids = inputs["input_ids"][0].cpu()
        if set(inputs) <= _PER_TOKEN:
            return PromptRow(ids)
        pixels = self.split(inputs) if self.has_adapter else []
        if not pixels:
            return PromptRow(ids, whole=inputs)
        places = (ids == self.model.config.image_token_id).nonzero()[:, 0]
        counts = self.counts(pixels, len(places))
        if sum(counts) != len(places):
            raise ValueError(f"The prompt has {len(places)} image tokens, but its images need {sum(counts)}.")
        images = [PromptImage(image, at) for image, at in zip(pixels, places.split(counts), strict=True)]
        positions, offset = self.number(inputs)
        return PromptRow(ids, positions, offset, images)

    def encode(self, images: Sequence[PromptImage]) -> list[Any]:
        """Run the vision encoder. Returns each image's features (tokens, size), followed by those of inner layers."""
        pixels = moved(self.stack([image.pixels for image in images]), self.model)
        last, inner = library.image_features(self.model, pixels)
        features = torch.cat([last, *inner], dim=-1)
        return list(features.split([len(image.tokens) for image in images]))

    def embed(self, row: PromptRow, begin: int, end: int, features: Mapping[bytes, Any]) -> Any:
        """The embeddings (1, tokens, size) of a range of a row, with its images' `features`, by digest."""
        embeddings = self._embeddings(row.ids[begin:end])
        for image in row.images_in(begin, end):
            here = (image.tokens >= begin) & (image.tokens < end)
            places = (image.tokens[here] - begin).to(embeddings.device)
            image_features = features[image.digest][here.to(embeddings.device)]
            embeddings[places] = image_features[:, : embeddings.shape[-1]].to(embeddings)
        return embeddings[None]

    def inputs(self, row: PromptRow, begin: int, end: int, features: Mapping[bytes, Any]) -> dict[str, Any]:
        """The forward pass's inputs for a range of one row, with its images' `features`, by digest."""
        images = row.images_in(begin, end)
        if not images:
            return {"input_ids": row.ids[None, begin:end].to(self.model.device)}
        embeddings = self.embed(row, begin, end, features)
        size = embeddings.shape[-1]
        if features[images[0].digest].shape[-1] == size:
            return {"inputs_embeds": embeddings}
        return self._with_inner_features(row, begin, end, features, size)

    def whole(self, row: PromptRow) -> dict[str, Any]:
        """The forward pass's inputs for a prompt that is read whole."""
        assert row.whole is not None, "only rows that must be read whole keep the processor's outputs"
        inputs = {name: values for name, values in row.whole.items() if name not in {"attention_mask", "position_ids"}}
        return moved(inputs, self.model)

    def _embeddings(self, ids: Any) -> Any:
        return self.model.get_input_embeddings()(ids.to(self.model.device)).clone()

    def _with_inner_features(
        self, row: PromptRow, begin: int, end: int, features: Mapping[bytes, Any], size: int
    ) -> dict[str, Any]:
        image_features = [
            features[image.digest][((image.tokens >= begin) & (image.tokens < end)).to(self.model.device)]
            for image in row.images_in(begin, end)
        ]
        last, *inner = torch.cat(image_features).split(size, dim=-1)
        return library.with_image_features(row.ids[None, begin:end].to(self.model.device), last, inner)
