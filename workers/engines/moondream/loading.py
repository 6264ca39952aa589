"""Loads Moondream2 with the code that comes with its weights, and wraps that code in one interface.

Source: the model card of vikhyatk/moondream2; the revisions from 2025-01-09 on have all methods that are used here.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from contract.config import ModelSpec
from contract.errors import LoadFailed
from workers.engine import Device, Engine
from workers.failures import own_code_message
from workers.toolkit import pretrained
from workers.toolkit.finite import not_finite_scores
from workers.toolkit.pretrained import Checkpoint

log = logging.getLogger(__name__)

_METHODS = ("encode_image", "query", "caption", "detect", "point")
_HEAD = "text.lm_head"
"""The layer that computes the scores of the next token, in all revisions."""


class MoondreamModel:
    """The model through its own code. Coordinates are fractions of width and height, from 0 to 1.

    `settings` are those of that code: `max_tokens`, `temperature` and `top_p` for generated text.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._tokenizer = model.model.tokenizer
        self.context: int = model.model.config.text.max_context
        """The most tokens that image, question and answer may have together."""
        self.needs_image: bool = inspect.signature(model.query).parameters["image"].default is inspect.Parameter.empty
        """Whether this revision can only answer questions about an image."""

    def encode(self, image: Any) -> Any:
        """Encode an RGB image once for any number of questions. The result's `pos` is its length in tokens.

        Pass only encoded images to the other methods: some revisions cannot encode an image and take settings at once.
        """
        return self._model.encode_image(image)

    def query(self, encoded: Any, question: str, settings: dict[str, Any]) -> Iterator[str]:
        """Stream the answer to a question. `encoded` is an encoded image, or None unless `needs_image` is set."""
        arguments = {"question": question, "stream": True, "settings": settings}
        if encoded is not None:
            arguments["image"] = encoded
        answer: Iterator[str] = self._model.query(**arguments)["answer"]
        return answer

    def caption(self, encoded: Any, length: str, settings: dict[str, Any]) -> Iterator[str]:
        """Stream a caption. `length` is `short`, `normal` or (in later revisions) `long`."""
        caption: Iterator[str] = self._model.caption(encoded, length=length, stream=True, settings=settings)["caption"]
        return caption

    def detect(self, encoded: Any, label: str, max_objects: int | None) -> list[dict[str, float]]:
        """Find boxes around what a label names, each with `x_min`, `y_min`, `x_max` and `y_max`."""
        boxes: list[dict[str, float]] = self._model.detect(encoded, label, settings=_limit(max_objects))["objects"]
        return boxes

    def point(self, encoded: Any, label: str, max_objects: int | None) -> list[dict[str, float]]:
        """Find points on what a label names, each with `x` and `y`."""
        points: list[dict[str, float]] = self._model.point(encoded, label, settings=_limit(max_objects))["points"]
        return points

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self._tokenizer.encode(text).ids)


def _limit(max_objects: int | None) -> dict[str, int]:
    return {} if max_objects is None else {"max_objects": max_objects}


def load(spec: ModelSpec, served_by: type[Engine], device: Device) -> MoondreamModel:
    """Load the model onto its device, in the precision that its code computes in. Raises LoadFailed.

    `AutoModelForCausalLM.from_pretrained` creates models without values and expects their code to help fill them in,
    which Moondream's does not. So the model is created with values, including the tables that it computes itself, and
    the weights are loaded into it.
    """
    if not spec.trust_remote_code:
        raise LoadFailed(own_code_message(spec.source))
    checkpoint = pretrained.checkpoint(spec, served_by)
    config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=True)
    # Tables must be computed in float32, whatever precision the weights have; the code sets that of its layers.
    model = AutoModelForCausalLM.from_config(config, trust_remote_code=True, dtype=torch.float32)
    _check_methods(checkpoint, model)
    _load_weights(checkpoint, model)
    _check_scores(checkpoint, model)
    return MoondreamModel(model.to(device.torch).eval())


def _check_scores(checkpoint: Checkpoint, model: Any) -> None:
    """Make the model raise EngineFailed when it computes scores of NaN: its code would take any token as the next."""
    head = dict(model.model.named_modules()).get(_HEAD)
    if head is None:
        log.warning("the code of %s has no %s: answers of NaN are not noticed", checkpoint.spec.source, _HEAD)
        return

    def check(layer: Any, _: Any, scores: torch.Tensor) -> None:
        if not scores.amax().isfinite():
            raise not_finite_scores(checkpoint.spec.id, layer.weight.dtype)

    head.register_forward_hook(check)


def _check_methods(checkpoint: Checkpoint, model: Any) -> None:
    """Raise LoadFailed for a revision whose code lacks a method that this engine needs."""
    # Look at the class: the first access to a method through the instance creates the KV cache, which must be created
    # on the model's device.
    missing = [method for method in _METHODS if not hasattr(type(model), method)]
    if missing:
        raise LoadFailed(
            f"The code of {checkpoint.spec.source} has no {' and no '.join(missing)}. Set `revision` in its entry to "
            "2025-01-09 or later, such as 2025-06-21."
        )


def _load_weights(checkpoint: Checkpoint, model: Any) -> None:
    """Load all weight files into the model. Raises LoadFailed if some of its weights are in none of them."""
    missing = set(model.state_dict())
    for file in sorted(checkpoint.folder.glob("*.safetensors")):
        weights = load_file(file)
        model.load_state_dict(weights, strict=False)
        missing -= set(weights)
    if missing:
        raise LoadFailed(
            f"The files of {checkpoint.spec.source} lack {len(missing)} weights that its code needs, such as "
            f"{min(missing)}. Download them again, or correct the entry's `revision`."
        )
