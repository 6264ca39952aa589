"""The `options` of an entry of this engine."""

from __future__ import annotations

from pydantic import Field

from workers.toolkit import pretrained


class ImageOptions(pretrained.TorchOptions):
    """How images are drawn.

    `truncate`: cut a prompt that exceeds the text encoder's limit, and say so in the answer's `warnings`; false: refuse
    it. `variant`: which weight files to load, such as `fp16`. `true_cfg_scale`: the scale of true guidance for
    pipelines with embedded guidance (FLUX); above 1 it makes `negative_prompt` work, at twice the time. `config`: if
    `source` is a single file, a folder or hub id in diffusers' layout that says how the model is built and has the
    parts that the file lacks; null: what diffusers knows about the file's family, from the hub. `quantization: 4bit`
    works on CUDA only, and not for a single file.
    """

    truncate: bool = True
    variant: str | None = None
    true_cfg_scale: float | None = Field(None, ge=1)
    config: str | None = None
