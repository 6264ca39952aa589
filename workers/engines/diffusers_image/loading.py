"""Loads the pipeline that an entry names: a hub id, a folder in diffusers' layout, or a single checkpoint file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract.config import ModelSpec
from contract.errors import LoadFailed
from workers.engine import Device
from workers.engines.diffusers_image import checkpoints
from workers.engines.diffusers_image.options import ImageOptions
from workers.engines.diffusers_image.quantizing import pipeline_config
from workers.toolkit import pretrained, snapshots
from workers.toolkit.sources import resolve


def load(spec: ModelSpec, device: Device, options: ImageOptions) -> Any:
    """The pipeline on its device, in its precision. Raises LoadFailed with a sentence that says what to do."""
    import torch

    dtype = getattr(torch, device.dtype)
    source = resolve(spec.source)
    if not Path(source).exists() and checkpoints.is_file_of_a_repository(source):
        source = str(snapshots.file(source, spec.revision))
    if Path(source).is_file():
        pipe = checkpoints.load(Path(source), options, dtype)
    else:
        pipe = _from_folder(source, spec, device, options, dtype)
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
        pretrained.check_tokenizer(getattr(pipe, name, None), spec)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device.torch)


def _from_folder(source: str, spec: ModelSpec, device: Device, options: ImageOptions, dtype: Any) -> Any:
    from diffusers import DiffusionPipeline

    config_folder = snapshots.config_files(source, spec.revision)  # its errors say what to do, unlike diffusers'
    if not (config_folder / DiffusionPipeline.config_name).is_file():
        raise LoadFailed(
            f"{source} has no {DiffusionPipeline.config_name}: name a folder in diffusers' layout, a hub id of one, or "
            "a single checkpoint file as `source`."
        )
    keywords: dict[str, Any] = {}
    if options.quantization:
        index = DiffusionPipeline.load_config(config_folder)
        keywords["quantization_config"] = pipeline_config(index, device, options.quantization)
    return DiffusionPipeline.from_pretrained(
        source,
        revision=spec.revision,
        variant=options.variant,
        trust_remote_code=spec.trust_remote_code,
        dtype=dtype,
        **keywords,
    )
