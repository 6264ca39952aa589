"""Loads transformers' models onto a device, in the entry's precision and quantization.

It also says what to do about a checkpoint that an engine does not serve.
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
from workers import engine, registry
from workers.engine import Device, Engine
from workers.toolkit import own_code, snapshots

Quantization = Literal["4bit", "8bit"]


class TorchOptions(engine.Options):
    """`quantization`: quantise weights to `8bit` or `4bit` while loading, on devices whose libraries support it.

    `threads`: torch's threads on a CPU (null: torch's default).
    """

    quantization: Quantization | None = None
    threads: int | None = Field(None, ge=1)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's local folder and its config.json."""

    spec: ModelSpec
    folder: Path
    config: dict[str, Any]

    @property
    def model_type(self) -> str:
        """transformers' name for the architecture, such as `sam2`."""
        return str(self.config.get("model_type") or "")

    def processor(self, auto_class: str, **arguments: Any) -> Any:
        """Load the processor with one of transformers' Auto classes, such as `AutoImageProcessor`."""
        trust = self.spec.trust_remote_code
        processor = self._auto(auto_class).from_pretrained(self.folder, trust_remote_code=trust, **arguments)
        check_tokenizer(getattr(processor, "tokenizer", processor), self.spec)
        return processor

    def model(self, auto_class: str, device: Device, options: TorchOptions, **arguments: Any) -> Any:
        """Load the model with one of transformers' Auto classes onto its device, in evaluation mode."""
        arguments = {**from_pretrained_arguments(device, options.quantization), **arguments}
        trust = self.spec.trust_remote_code
        with own_code.needed_code_refused(self.spec.source):
            model = self._auto(auto_class).from_pretrained(self.folder, trust_remote_code=trust, **arguments)
        if options.quantization:
            patch_bitsandbytes(model)
        return model.eval()

    @staticmethod
    def _auto(auto_class: str) -> Any:
        return getattr(importlib.import_module("transformers"), auto_class)


def check_tokenizer(tokenizer: Any, spec: ModelSpec) -> None:
    """Raises LoadFailed for a tokenizer without a vocabulary, which transformers creates if its files are missing.

    Every word would be unknown to it, and answers would be nonsense without an error. Other objects pass.
    """
    special = getattr(tokenizer, "all_special_ids", None)
    if special is not None and len(tokenizer) <= len(set(special)) + 1:  # T5's has one token more
        raise LoadFailed(
            f"{spec.source} lacks the files of its tokenizer ({type(tokenizer).__name__}), such as tokenizer.json. "
            "Download them too."
        )


def patch_bitsandbytes(model: Any) -> None:
    """Work around two faults of bitsandbytes 0.50 in image models.

    Its 8-bit layers flatten inputs of more than three dimensions, such as (images, rows, columns, values). Its fast
    4-bit code for CPUs with AVX-512 packs weights in blocks, and fails if a layer's sides are no multiples of them.
    """
    for layer in model.modules():
        if type(layer).__name__ == "Linear8bitLt":
            layer.forward = _keeping_shape(layer.forward)
        elif type(layer).__name__ == "Linear4bit" and (layer.out_features % 32 or layer.in_features % 64):
            layer.support_avx512bf16_for_cpu = False


def _keeping_shape(forward: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def keep_shape(values: Any) -> Any:
        if values.ndim <= 3:
            return forward(values)
        return forward(values.flatten(0, -2)).unflatten(0, values.shape[:-1])

    return keep_shape


def set_up_torch(options: TorchOptions) -> None:
    """Prepare torch in this process: repair a torchvision of another build, then set the number of threads."""
    importlib.import_module("workers.toolkit.torchvision_shim")  # before anything that imports torchvision
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)


def checkpoint(spec: ModelSpec, engine_class: type[Engine]) -> Checkpoint:
    """The checkpoint that `spec.source` names, downloaded if needed.

    Raises LoadFailed, naming the engines that could serve it, if its type is none of the engine's `model_types`.
    """
    result = read_checkpoint(spec)
    if engine_class.model_types and result.model_type not in engine_class.model_types:
        raise LoadFailed(unsupported_message(spec, result.model_type))
    return result


def read_checkpoint(spec: ModelSpec) -> Checkpoint:
    """The checkpoint of any type that `spec.source` names, downloaded if needed.

    Raises LoadFailed if it has no config.json.
    """
    folder = snapshots.folder(spec.source, spec.revision)
    file = folder / "config.json"
    if not file.is_file():
        raise LoadFailed(f"{spec.source} has no config.json; this engine takes folders in transformers' layout.")
    return Checkpoint(spec, folder, json.loads(file.read_text(encoding="utf-8")))


def unsupported_message(spec: ModelSpec, model_type: str) -> str:
    """Says what to do about a checkpoint whose type the entry's engine does not serve."""
    engines = {name: registry.find_engine(name) for name in registry.engine_names() if name != spec.engine}
    listing_it = [name for name, candidate in engines.items() if model_type in candidate.model_types]
    others = listing_it or [name for name, candidate in engines.items() if candidate.supports_model_type(model_type)]
    if others:
        return (
            f"{spec.source} is of type {model_type!r}, which the engine {spec.engine} does not serve. Write "
            f"`engine: {' or '.join(others)}` in its entry."
        )
    return (
        f"{spec.source} is of type {model_type!r}, which no engine serves ({', '.join(registry.engine_names())}). "
        "If it makes embeddings of texts, write `engine: sentence_transformers`. If it is a new kind of chat model, "
        "install a newer transformers. Else add an engine: one file in workers/engines/, as docs/adding-a-model.md "
        "shows."
    )


def from_pretrained_arguments(device: Device, quantization: Quantization | None = None) -> dict[str, Any]:
    """The arguments of `from_pretrained` for a device: precision, placement and quantization.

    Attention stays transformers' default, torch's scaled dot product, which runs on all devices. Raises LoadFailed if
    the device has no such quantization.
    """
    import torch

    arguments: dict[str, Any] = {"dtype": device.dtype if device.dtype == "auto" else getattr(torch, device.dtype)}
    if device.torch != "cpu":
        arguments["device_map"] = device.torch
    if quantization:
        arguments["quantization_config"] = _quantization_config(device, quantization, arguments["dtype"])
    return arguments


def _quantization_config(device: Device, quantization: Quantization, dtype: Any) -> Any:
    """transformers' configuration for 4-bit or 8-bit weights.

    bitsandbytes has both for CUDA and the CPU (8 bits: arXiv:2208.07339; 4 bits: NF4, arXiv:2305.14314). On Apple's
    GPUs torchao has 8 bits only.
    """
    if device.kind == "mps":
        if quantization == "4bit":
            raise LoadFailed(
                "`options.quantization: 4bit` is not available for torch on Apple's GPUs. Use the engine mlx for this "
                "model, write 8bit, or leave the option out."
            )
        require_quantizer("torchao", quantization)
        from torchao.quantization import Int8WeightOnlyConfig
        from transformers import TorchAoConfig

        return TorchAoConfig(Int8WeightOnlyConfig(version=2))
    require_quantizer("bitsandbytes", quantization)
    from transformers import BitsAndBytesConfig

    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute_dtype = {} if dtype == "auto" else {"bnb_4bit_compute_dtype": dtype}
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", **compute_dtype)


def require_quantizer(library: str, quantization: Quantization) -> None:
    """Raises LoadFailed, with the command that installs it, if the quantization library is missing."""
    if find_spec(library) is None:
        raise LoadFailed(
            f"`options.quantization: {quantization}` needs {library}, which is not installed: `make setup "
            "ENGINES=quantization`, or leave the option out."
        )
