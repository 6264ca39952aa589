"""Loads single checkpoint files, as model sites offer them: a .safetensors, .ckpt or .gguf of a whole model or a part.

Such a file contains weights only. Their names and shapes identify the model family. How that family is built (sizes,
tokenizers, scheduler) is read from the configuration files of the family's original model on the hub, or from a folder
that the entry names.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contract.errors import LoadFailed
from workers.engines.diffusers_image.options import ImageOptions
from workers.engines.diffusers_image.quantizing import quantize_parts
from workers.toolkit import snapshots, sources

_SUFFIXES = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
_CONFIG_HINT = "a folder or a hub id in diffusers' layout as `options.config`"


def is_file_of_a_repository(source: str) -> bool:
    """Whether a source looks like `organisation/model/file.safetensors`."""
    return source.count("/") > 1 and Path(source).suffix in _SUFFIXES


def load(file: Path, options: ImageOptions, dtype: Any) -> Any:
    """The pipeline with the file's weights. Raises LoadFailed, or ConnectionError for an unreachable hub."""
    import diffusers

    if file.suffix not in _SUFFIXES:
        raise LoadFailed(
            f"{file} is no checkpoint file ({', '.join(_SUFFIXES)}): name one, a folder in diffusers' layout or a "
            "hub id as `source`."
        )
    if options.quantization and file.suffix == ".gguf":
        raise LoadFailed(f"The weights of {file.name} are quantised already: leave `options.quantization` out.")
    weights = _weights(file)  # also refuses files that contain code
    model = options.config or _original_model(file, weights)
    config_folder = _config_folder(file, model, named=options.config is not None)
    index = _index(config_folder)
    pipeline_class = getattr(diffusers, index["_class_name"])
    pipe = _from_file_alone(pipeline_class, file, config_folder, dtype)
    if pipe is None:
        if options.config is None:
            raise LoadFailed(
                f"{file.name} has only a part of a {pipeline_class.__name__}: name {_CONFIG_HINT} that has the rest "
                f"(text encoders, autoencoder), such as {model}."
            )
        denoiser = _denoiser(file, config_folder, index, dtype)
        pipe = pipeline_class.from_pretrained(sources.resolve(options.config), dtype=dtype, **denoiser)
    if options.quantization:
        quantize_parts(pipe.components, options.quantization)
    return pipe


def _from_file_alone(pipeline_class: Any, file: Path, config_folder: Path, dtype: Any) -> Any:
    """The pipeline, if the file has all of its parts; else None."""
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    if file.suffix == ".gguf" or not hasattr(pipeline_class, "from_single_file"):  # GGUF files have the denoiser only
        return None
    try:
        return pipeline_class.from_single_file(str(file), config=str(config_folder), dtype=dtype)
    except SingleFileComponentError:
        return None
    except NotImplementedError as error:  # torch raises it for weights without a value
        raise LoadFailed(
            f"{file.name} lacks weights of a {pipeline_class.__name__}: it is of another family, or incomplete. Name "
            f"{_CONFIG_HINT} that says how it is built, or download it again."
        ) from error


def _denoiser(file: Path, config_folder: Path, index: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
    """The part of a pipeline that denoises and has most of the weights, by its name in the pipeline."""
    import diffusers

    name = "transformer" if index.get("transformer") else "unet"
    model_class = getattr(diffusers, index[name][1])
    keywords: dict[str, Any] = {}
    if file.suffix == ".gguf":
        keywords["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
    model = model_class.from_single_file(str(file), config=str(config_folder), subfolder=name, dtype=dtype, **keywords)
    return {name: model}


def _config_folder(file: Path, model: str, *, named: bool) -> Path:
    """The folder that says how the file's model is built. `named`: the entry names that model itself."""
    reason = f"The configuration of {file.name} is taken from {model}, whose weights it resembles."
    alternative = f"Or name {_CONFIG_HINT}."
    try:
        return snapshots.config_files(model)
    except LoadFailed as error:
        raise LoadFailed(error.message if named else f"{reason} {error.message} {alternative}") from None
    except ConnectionError as error:
        raise ConnectionError(str(error) if named else f"{reason} {error} {alternative}") from error


def _index(config_folder: Path) -> dict[str, Any]:
    file = config_folder / "model_index.json"
    if not file.is_file():
        raise LoadFailed(f"{config_folder} has no model_index.json: name {_CONFIG_HINT}.")
    index: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return index


def _original_model(file: Path, weights: Mapping[str, Any]) -> str:
    """The hub id of the original model of the file's family, from diffusers' table. Raises LoadFailed."""
    from diffusers.loaders.single_file_utils import fetch_diffusers_config, infer_diffusers_model_type

    # diffusers reports everything that it does not recognise as Stable Diffusion 1.
    if infer_diffusers_model_type(weights) == "v1" and not any(n.startswith("model.diffusion_model.") for n in weights):
        raise LoadFailed(
            f"diffusers does not recognise the family of {file.name} by its weights, or it is an adapter (LoRA) and no "
            f"model. If it is a model, name {_CONFIG_HINT} that says how it is built."
        )
    return str(fetch_diffusers_config(weights)["pretrained_model_name_or_path"])


def _weights(file: Path) -> dict[str, Any]:
    """The file's tensors by name, with shapes but no values. Never runs code that a file may contain."""
    import torch

    if file.suffix == ".gguf" and find_spec("gguf") is None:
        raise LoadFailed(f"{file.name} needs a library that is not installed: `make setup ENGINES=quantization`.")
    try:
        if file.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(file, framework="pt") as opened:
                shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118 - no dict
        elif file.suffix == ".gguf":
            from gguf import GGUFReader

            shapes = {tensor.name: tensor.shape[::-1].tolist() for tensor in GGUFReader(file).tensors}
        else:
            content = torch.load(file, map_location="meta", weights_only=True)
            while "state_dict" in content:
                content = content["state_dict"]
            return dict(content)
    except pickle.UnpicklingError:
        raise LoadFailed(
            f"{file.name} is damaged, or contains more than weights, and reading it could run code. Use the model's "
            ".safetensors file."
        ) from None
    except Exception as error:  # three libraries have errors of their own for damaged files
        reason = str(error).partition("\n")[0]
        raise LoadFailed(f"{file.name} is damaged or no checkpoint ({reason}). Download it again.") from error
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
