"""What all models have in common in reading prompts, and what a family may do in its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from workers.engines.transformers_chat import library
from workers.engines.transformers_chat.prompt_row import PromptImage, PromptRow, moved

_PER_TOKEN = frozenset({"input_ids", "attention_mask", "position_ids", "token_type_ids", "mm_token_type_ids"})
"""Inputs that words have as well; any other belongs to a image."""

Pixels = Mapping[str, Any]


class Family:
    """Serves every text model as it is, and vision-language models whose images nobody has told it how to read.

    A prompt with images is then read whole, by the model's own forward pass. A family with an adapter says how its
    images are told apart (`split`) and encoded together (`stack`): they are encoded once, and read in pieces.
    """

    model_types: ClassVar[frozenset[str]] = frozenset()
    """Whom an adapter serves; `generate` says the same as it for each of them, which is tested."""
    axes: ClassVar[int] = 1
    """Numbers in a token's position."""

    def __init__(self, model: Any) -> None:
        self.model = model

    # What an adapter overrides --------------------------------------------------------------------------------

    def split(self, inputs: Mapping[str, Any]) -> list[Pixels]:
        """The images of one prompt, or their tiles, in the order of their tokens; none: it has to be read whole."""
        raise NotImplementedError

    def stack(self, images: Sequence[Pixels]) -> Pixels:
        """What the vision encoder takes to encode several of them together."""
        raise NotImplementedError

    def counts(self, images: Sequence[Pixels], tokens: int) -> list[int]:
        """How many of a prompt's `tokens` for images stand for each of them: an equal share."""
        return [tokens // len(images)] * len(images)

    def number(self, inputs: Mapping[str, Any]) -> tuple[Any, int]:  # noqa: ARG002  (most number as words)
        """Positions (axes, tokens) of a prompt with images, and its `PromptRow.offset`; None: counted from 0."""
        return None, 0

    # What all share -------------------------------------------------------------------------------------------

    @property
    def has_adapter(self) -> bool:
        """Whether it is made for this model's family."""
        return bool(self.model_types)

    def row(self, inputs: Mapping[str, Any]) -> PromptRow:
        """The prompt that a processor has made, in one row."""
        ids = inputs["input_ids"][0].cpu()
        if set(inputs) <= _PER_TOKEN:
            return PromptRow(ids)
        pixels = self.split(inputs) if self.has_adapter else []
        if not pixels:
            return PromptRow(ids, whole=inputs)
        places = (ids == self.model.config.image_token_id).nonzero()[:, 0]
        counts = self.counts(pixels, len(places))
        if sum(counts) != len(places):
            raise ValueError(f"The prompt has {len(places)} tokens for images that take {sum(counts)}.")
        images = [PromptImage(image, at) for image, at in zip(pixels, places.split(counts), strict=True)]
        positions, offset = self.number(inputs)
        return PromptRow(ids, positions, offset, images)

    def encode(self, images: Sequence[PromptImage]) -> list[Any]:
        """Run the vision encoder. Gives each image's features, (tokens, size), deeper layers' beside the last's."""
        pixels = moved(self.stack([image.pixels for image in images]), self.model)
        last, deeper = library.image_features(self.model, pixels)
        features = torch.cat([last, *deeper], dim=-1)
        return list(features.split([len(image.tokens) for image in images]))

    def embed(self, row: PromptRow, begin: int, end: int, features: Mapping[bytes, Any]) -> Any:
        """Embeddings (1, tokens, size) of a range of a row; `features` are its images', by digest."""
        embeddings = self._embeddings(row.ids[begin:end])
        for image in row.images_in(begin, end):
            here = (image.tokens >= begin) & (image.tokens < end)
            places = (image.tokens[here] - begin).to(embeddings.device)
            seen = features[image.digest][here.to(embeddings.device)]
            embeddings[places] = seen[:, : embeddings.shape[-1]].to(embeddings)
        return embeddings[None]

    def inputs(self, row: PromptRow, begin: int, end: int, features: Mapping[bytes, Any]) -> dict[str, Any]:
        """What the forward pass takes to read a range of one row."""
        images = row.images_in(begin, end)
        if not images:
            return {"input_ids": row.ids[None, begin:end].to(self.model.device)}
        embeddings = self.embed(row, begin, end, features)
        size = embeddings.shape[-1]
        if features[images[0].digest].shape[-1] == size:
            return {"inputs_embeds": embeddings}
        return self._with_deeper_features(row, begin, end, features, size)

    def whole(self, row: PromptRow) -> dict[str, Any]:
        """What the forward pass takes to read a prompt at once that only it can read."""
        assert row.whole is not None, "a row that can be read in pieces"
        inputs = {name: values for name, values in row.whole.items() if name not in {"attention_mask", "position_ids"}}
        return moved(inputs, self.model)

    def _embeddings(self, ids: Any) -> Any:
        return self.model.get_input_embeddings()(ids.to(self.model.device)).clone()

    def _with_deeper_features(
        self, row: PromptRow, begin: int, end: int, features: Mapping[bytes, Any], size: int
    ) -> dict[str, Any]:
        seen = [
            features[image.digest][((image.tokens >= begin) & (image.tokens < end)).to(self.model.device)]
            for image in row.images_in(begin, end)
        ]
        last, *deeper = torch.cat(seen).split(size, dim=-1)
        return library.with_image_features(row.ids[None, begin:end].to(self.model.device), last, deeper)
