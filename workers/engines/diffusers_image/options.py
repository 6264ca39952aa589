"""What an entry of this engine may say in its `options`."""

from __future__ import annotations

from pydantic import Field

from workers.toolkit import pretrained


class ImageOptions(pretrained.TorchOptions):
    """How pictures are drawn.

    `truncate`: cut a prompt that the text encoder cannot read whole and say so in the answer's `warnings`; false:
    refuse it. `variant`: which weight files to load, such as `fp16`. `true_cfg_scale`: for pipelines with embedded
    guidance (FLUX), the scale of true guidance; above 1 it makes `negative_prompt` work, at twice the time. `config`:
    where `source` is a single file, a folder or hub id in diffusers' layout that says how the model is built, and has
    what the file lacks; null: what diffusers knows of the file's family, from the hub. There is 4bit on CUDA alone, and
    not for a single file.
    """

    truncate: bool = True
    variant: str | None = None
    true_cfg_scale: float | None = Field(None, ge=1)
    config: str | None = None
