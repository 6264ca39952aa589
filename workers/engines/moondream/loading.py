"""Loads Moondream2 through the code that comes with its weights, and asks that code in one way.

Source: the model card of vikhyatk/moondream2; the revisions from 2025-01-09 on have these abilities.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from contract.config import ModelSpec
from contract.errors import LoadFailed
from workers.engine import Device, Engine
from workers.toolkit.pretrained import Checkpoint, checkpoint

_SKILLS = ("encode_image", "query", "caption", "detect", "point")


class Skills:
    """What the model's own code can do. Coordinates are shares of width and height, from 0 to 1.

    `settings` are the code's own: `max_tokens`, `temperature` and `top_p` for texts.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._tokenizer = model.model.tokenizer
        self.context: int = model.model.config.text.max_context
        """The most tokens that picture, question and answer may have together."""
        self.needs_picture: bool = inspect.signature(model.query).parameters["image"].default is inspect.Parameter.empty

    def encode(self, image: Any) -> Any:
        """The picture as the model keeps it: `pos` is how many tokens it takes. Asked again it costs nothing more.

        A picture must never be handed on together with settings: some revisions then fail to encode it.
        """
        return self._model.encode_image(image)

    def query(self, picture: Any, question: str, settings: dict[str, Any]) -> Iterator[str]:
        """The answer in pieces; `picture` is an encoded one, or None where `needs_picture` is not set."""
        asked = {"question": question, "stream": True, "settings": settings}
        answer: Iterator[str] = self._model.query(**asked, **({} if picture is None else {"image": picture}))["answer"]
        return answer

    def caption(self, picture: Any, length: str, settings: dict[str, Any]) -> Iterator[str]:
        """The caption in pieces; `length` is `short`, `normal` or (in later revisions) `long`."""
        caption: Iterator[str] = self._model.caption(picture, length=length, stream=True, settings=settings)["caption"]
        return caption

    def detect(self, picture: Any, label: str, most: int | None) -> list[dict[str, float]]:
        """Boxes: `x_min`, `y_min`, `x_max`, `y_max` of each."""
        objects: list[dict[str, float]] = self._model.detect(picture, label, settings=_most(most))["objects"]
        return objects

    def point(self, picture: Any, label: str, most: int | None) -> list[dict[str, float]]:
        """Points: `x` and `y` of each."""
        points: list[dict[str, float]] = self._model.point(picture, label, settings=_most(most))["points"]
        return points

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self._tokenizer.encode(text).ids)


def _most(objects: int | None) -> dict[str, int]:
    return {} if objects is None else {"max_objects": objects}


def load(spec: ModelSpec, served_by: type[Engine], device: Device) -> Skills:
    """The model on its device, in the precision that its code computes in. Raises LoadFailed.

    `AutoModelForCausalLM.from_pretrained` builds models without values first and expects their code to help fill them,
    which Moondream's does not. So it is built whole, with the tables that it computes for itself, and then filled.
    """
    if not spec.trust_remote_code:
        raise LoadFailed(
            f"{spec.source} runs by code that comes with it, on this machine and with the house's rights. If you trust "
            "it, set `trust_remote_code: true` in its entry, and `revision` to the version that you have read."
        )
    found = checkpoint(spec, served_by)
    config = AutoConfig.from_pretrained(found.folder, trust_remote_code=True)
    # Tables are computed in float32, whatever the weights are in: those say so themselves.
    model = AutoModelForCausalLM.from_config(config, trust_remote_code=True, dtype=torch.float32)
    _check(found, model)
    _fill(found, model)
    return Skills(model.to(device.torch).eval())


def _check(found: Checkpoint, model: Any) -> None:
    # Its class is looked at: the first look at a skill makes the cache, which must be made on the model's device.
    missing = [skill for skill in _SKILLS if not hasattr(type(model), skill)]
    if missing:
        raise LoadFailed(
            f"The code of {found.spec.source} has no {' and no '.join(missing)}. Set `revision` in its entry to one "
            "from 2025-01-09 on, such as 2025-06-21."
        )


def _fill(found: Checkpoint, model: Any) -> None:
    missing = set(model.state_dict())
    for file in sorted(found.folder.glob("*.safetensors")):
        weights = load_file(file)
        model.load_state_dict(weights, strict=False)
        missing -= set(weights)
    if missing:
        raise LoadFailed(
            f"The files of {found.spec.source} lack {len(missing)} weights that its code asks for, such as "
            f"{min(missing)}. Download them again, or correct the entry's `revision`."
        )
