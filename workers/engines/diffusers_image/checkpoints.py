"""Single checkpoint files, as model sites offer them: one .safetensors, .ckpt or .gguf for a whole model or a part.

Such a file has weights alone. Their names and shapes show which family they are of; how that family is built (sizes,
tokenizers, scheduler) is read from the settings of the model that made it known, some small files of its repository, or
from a folder that the entry names.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contract.errors import LoadFailed
from workers import snapshots, sources
from workers.engines.diffusers_image.options import ImageOptions
from workers.engines.diffusers_image.quantizing import shrink

_KINDS = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
_CONFIG = "a folder or a hub id in diffusers' layout as `options.config`"


def is_file_of_a_repository(source: str) -> bool:
    """Whether a source reads like `organisation/model/file.safetensors`."""
    return source.count("/") > 1 and Path(source).suffix in _KINDS


def load(file: Path, options: ImageOptions, dtype: Any) -> Any:
    """The pipeline whose weights the file has. Raises LoadFailed, or ConnectionError if the hub is needed and away."""
    import diffusers

    if file.suffix not in _KINDS:
        raise LoadFailed(
            f"{file} is no checkpoint ({', '.join(_KINDS)}): give one, a folder in diffusers' layout or a hub id as "
            "`source`."
        )
    if options.quantization and file.suffix == ".gguf":
        raise LoadFailed(f"The weights of {file.name} are quantised already: leave `options.quantization` out.")
    weights = _weights(file)  # also refuses what holds more
    model = options.config or _family(file, weights)
    settings = _settings(file, model, named=options.config is not None)
    index = _index(settings)
    kind = getattr(diffusers, index["_class_name"])
    pipe = _from_file_alone(kind, file, settings, dtype)
    if pipe is None:
        if options.config is None:
            raise LoadFailed(
                f"{file.name} has only a part of a {kind.__name__}: name {_CONFIG} that has the rest (text encoders, "
                f"autoencoder), such as {model}."
            )
        given = _denoiser(file, settings, index, dtype)
        pipe = kind.from_pretrained(sources.resolve(options.config), dtype=dtype, **given)
    if options.quantization:
        shrink(pipe.components, options.quantization)
    return pipe


def _from_file_alone(kind: Any, file: Path, settings: Path, dtype: Any) -> Any:
    """The pipeline if the file has all of it, else None."""
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    if file.suffix == ".gguf" or not hasattr(kind, "from_single_file"):  # GGUF files have the denoiser alone
        return None
    try:
        return kind.from_single_file(str(file), config=str(settings), dtype=dtype)
    except SingleFileComponentError:
        return None
    except NotImplementedError as error:  # torch's word for a weight that no value was found for
        raise LoadFailed(
            f"{file.name} lacks weights that a {kind.__name__} has: it is of another family, or not whole. Name "
            f"{_CONFIG} that says how it is built, or download it again."
        ) from error


def _denoiser(file: Path, settings: Path, index: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
    """The part of a pipeline that does the work and has most of the weights, by its name in the pipeline."""
    import diffusers

    name = "transformer" if index.get("transformer") else "unet"
    kind = getattr(diffusers, index[name][1])
    keywords: dict[str, Any] = {}
    if file.suffix == ".gguf":
        keywords["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
    return {name: kind.from_single_file(str(file), config=str(settings), subfolder=name, dtype=dtype, **keywords)}


def _settings(file: Path, model: str, *, named: bool) -> Path:
    """The folder that says how the file's model is built; `named`: the entry names it."""
    told, otherwise = (
        f"How {file.name} is built is read from {model}, whose weights it resembles.",
        f"Or name {_CONFIG}.",
    )
    try:
        return snapshots.settings(model)
    except LoadFailed as error:
        raise LoadFailed(error.message if named else f"{told} {error.message} {otherwise}") from None
    except ConnectionError as error:
        raise ConnectionError(str(error) if named else f"{told} {error} {otherwise}") from error


def _index(settings: Path) -> dict[str, Any]:
    file = settings / "model_index.json"
    if not file.is_file():
        raise LoadFailed(f"{settings} has no model_index.json: name {_CONFIG}.")
    index: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return index


def _family(file: Path, weights: Mapping[str, Any]) -> str:
    """The hub id of the model that made the file's family known, by diffusers' table. Raises LoadFailed."""
    from diffusers.loaders.single_file_utils import fetch_diffusers_config, infer_diffusers_model_type

    # diffusers takes whatever it does not know for Stable Diffusion 1.
    if infer_diffusers_model_type(weights) == "v1" and not any(n.startswith("model.diffusion_model.") for n in weights):
        raise LoadFailed(
            f"{file.name} is of no family that diffusers knows by its weights, or an adapter (LoRA) and no model. If "
            f"it is a model, name {_CONFIG} that says how it is built."
        )
    return str(fetch_diffusers_config(weights)["pretrained_model_name_or_path"])


def _weights(file: Path) -> dict[str, Any]:
    """The file's tensors by name, with their shapes and without their values. Runs no code that a file may hold."""
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
            found = torch.load(file, map_location="meta", weights_only=True)
            while "state_dict" in found:
                found = found["state_dict"]
            return dict(found)
    except pickle.UnpicklingError:
        raise LoadFailed(
            f"{file.name} is damaged, or holds more than weights, and reading that could run code. Use the model's "
            ".safetensors file."
        ) from None
    except Exception as error:  # three libraries' complaints about damaged files
        told = str(error).partition("\n")[0]
        raise LoadFailed(f"{file.name} is damaged or no checkpoint ({told}). Download it again.") from error
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
