"""Loads models that transformers knows: what an entry names becomes a model on its device, in its precision.

One place decides which keywords a device and an entry's `quantization` mean, and says what to do about a checkpoint
that an engine does not serve.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import LoadFailed
from workers import engine, snapshots
from workers.engine import Device, Engine

Quantization = Literal["4bit", "8bit"]


class TorchOptions(engine.Options):
    """`quantization`: `8bit` or `4bit` weights, shrunk as they are loaded, where the device's libraries have them.

    `threads` are torch's on a CPU (null: torch's own).
    """

    quantization: Quantization | None = None
    threads: int | None = Field(None, ge=1)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's folder on this machine and what its config.json says."""

    spec: ModelSpec
    folder: Path
    config: dict[str, Any]

    @property
    def model_type(self) -> str:
        """transformers' name of the architecture, such as `sam2`."""
        return str(self.config.get("model_type") or "")

    def processor(self, kind: str, **keywords: Any) -> Any:
        """The processor through one of transformers' Auto classes, such as `AutoImageProcessor`."""
        trust = self.spec.trust_remote_code
        processor = self._auto(kind).from_pretrained(self.folder, trust_remote_code=trust, **keywords)
        check_words(getattr(processor, "tokenizer", processor), self.spec)
        return processor

    def model(self, kind: str, device: Device, options: TorchOptions, **keywords: Any) -> Any:
        """The model through one of transformers' Auto classes, on its device, ready to be asked."""
        placed = keywords_for(device, options.quantization)
        trust = self.spec.trust_remote_code
        model = self._auto(kind).from_pretrained(self.folder, trust_remote_code=trust, **{**placed, **keywords})
        if options.quantization:
            mend_layers(model)
        return model.eval()

    @staticmethod
    def _auto(kind: str) -> Any:
        return getattr(importlib.import_module("transformers"), kind)


def check_words(tokenizer: Any, spec: ModelSpec) -> None:
    """Raises LoadFailed for a tokenizer without a vocabulary, which transformers makes where its files are missing.

    All words would be unknown to it, and answers nonsense without any error. Other things pass.
    """
    special = getattr(tokenizer, "all_special_ids", None)
    if special is not None and len(tokenizer) <= len(set(special)) + 1:  # T5's has one token more
        raise LoadFailed(
            f"{spec.source} lacks the files of its tokenizer ({type(tokenizer).__name__}), such as tokenizer.json. "
            "Download them too."
        )


def mend_layers(model: Any) -> None:
    """What bitsandbytes (0.50) forgets of layers in image models.

    With 8 bits it takes (texts, tokens, values) at most, and (pictures, rows, columns, values) come out flat. With 4
    bits its fast way on CPUs with AVX-512 packs weights in blocks, and ends where a layer's sides are no multiples.
    """
    for layer in model.modules():
        if type(layer).__name__ == "Linear8bitLt":
            layer.forward = _flattening(layer.forward)
        elif type(layer).__name__ == "Linear4bit" and (layer.out_features % 32 or layer.in_features % 64):
            layer.support_avx512bf16_for_cpu = False


def _flattening(forward: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def flat(values: Any) -> Any:
        if values.ndim <= 3:
            return forward(values)
        return forward(values.flatten(0, -2)).unflatten(0, values.shape[:-1])

    return flat


def scales_to_one_size(pictures: Any) -> bool:
    """Whether an image processor makes every picture as high and as wide, so that a batch needs no padding."""
    size = pictures.size
    return bool(size and size.get("height") and size.get("width"))


def prepare(options: TorchOptions) -> None:
    """Make torch ready in this process: the shim for a torchvision of another build, then the number of threads."""
    importlib.import_module("workers.torchvision_shim")  # before anything that imports torchvision
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)


def checkpoint(spec: ModelSpec, served_by: type[Engine]) -> Checkpoint:
    """What `spec.source` names, downloaded if need be, if it is of a type that the engine serves.

    Raises LoadFailed, with the engines that there are, for any other type.
    """
    found = read(spec)
    if served_by.model_types and found.model_type not in served_by.model_types:
        raise LoadFailed(not_served(spec, found.model_type))
    return found


def read(spec: ModelSpec) -> Checkpoint:
    """What `spec.source` names, downloaded if need be, of whatever type. Raises LoadFailed if it has no config.json."""
    folder = snapshots.folder(spec.source, spec.revision)
    file = folder / "config.json"
    if not file.is_file():
        raise LoadFailed(f"{spec.source} has no config.json; this engine takes folders as transformers saves them.")
    return Checkpoint(spec, folder, json.loads(file.read_text(encoding="utf-8")))


def not_served(spec: ModelSpec, model_type: str) -> str:
    """What to do about a checkpoint of a type that the entry's engine does not serve."""
    engines = {name: engine.find(name) for name in engine.names() if name != spec.engine}
    named = [name for name, kind in engines.items() if model_type in kind.model_types]
    if others := named or [name for name, kind in engines.items() if kind.knows(model_type)]:
        return (
            f"{spec.source} is of type {model_type!r}, which the engine {spec.engine} does not serve. Write "
            f"`engine: {' or '.join(others)}` in its entry."
        )
    return (
        f"{spec.source} is of type {model_type!r}, which no engine serves that is here: {', '.join(engine.names())}. "
        "Write `engine: sentence_transformers` if it makes embeddings of texts, install a newer transformers if it is "
        "a new kind of chat model, or add an engine: one file in workers/engines/, as docs/adding-a-model.md shows."
    )


def keywords_for(device: Device, quantization: Quantization | None = None) -> dict[str, Any]:
    """What `from_pretrained` is told about a device: precision, place, and how weights are quantised.

    Attention is torch's scaled dot product everywhere (transformers' own choice): it runs on all devices. Raises
    LoadFailed where weights cannot be quantised that way.
    """
    import torch

    keywords: dict[str, Any] = {"dtype": device.dtype if device.dtype == "auto" else getattr(torch, device.dtype)}
    if device.torch != "cpu":
        keywords["device_map"] = device.torch
    if quantization:
        keywords["quantization_config"] = _quantized(device, quantization, keywords["dtype"])
    return keywords


def _quantized(device: Device, quantization: Quantization, dtype: Any) -> Any:
    """transformers' configuration for weights of 4 or 8 bits.

    bitsandbytes has both for CUDA and the CPU (arXiv:2208.07339 and, for 4 bits, NF4 of arXiv:2305.14314); on Apple's
    GPUs torchao has 8 bits.
    """
    if device.kind == "mps":
        if quantization == "4bit":
            raise LoadFailed(
                "`options.quantization: 4bit` does not exist for torch on Apple's GPUs. Use the engine mlx for this "
                "model, write 8bit, or leave it out."
            )
        require("torchao", quantization)
        from torchao.quantization import Int8WeightOnlyConfig
        from transformers import TorchAoConfig

        return TorchAoConfig(Int8WeightOnlyConfig(version=2))
    require("bitsandbytes", quantization)
    from transformers import BitsAndBytesConfig

    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    computing = {} if dtype == "auto" else {"bnb_4bit_compute_dtype": dtype}
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", **computing)


def require(library: str, quantization: Quantization) -> None:
    """Raises LoadFailed, with the command that mends it, when the library that quantises is not installed."""
    if find_spec(library) is None:
        raise LoadFailed(
            f"`options.quantization: {quantization}` needs {library}, which is not installed: `make setup "
            "ENGINES=quantization`, or leave the option out."
        )
