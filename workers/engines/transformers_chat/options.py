"""The `options` that an entry of this engine may have."""

from __future__ import annotations

from pydantic import Field

from contract.config.fields import Gigabytes
from workers.toolkit.chat.dialect import ReasoningFormatName, ToolFormatName
from workers.toolkit.pretrained import TorchOptions


class ChatOptions(TorchOptions):
    """`context` limits prompt and answer together, in tokens; `chat_template` (Jinja) is for models without one.
    `tool_format` and `reasoning_format` say how the model writes calls of tools and thoughts, where its chat template
    does not show it; `none` offers no tools, or leaves thoughts in the answer.

    `prefill_chunk` is the maximum number of prompt tokens that are read between two decode steps of running requests;
    fewer are read if that many would take longer than a few steps. 0 reads every prompt whole. `prefix_cache_gb` and
    `image_cache_gb` limit the memory, in GiB, for earlier conversations and for encoded images; 0 keeps none.
    """

    context: int | None = Field(None, ge=2)
    chat_template: str | None = None
    tool_format: ToolFormatName | None = None
    reasoning_format: ReasoningFormatName | None = None
    prefill_chunk: int = Field(512, ge=0)
    prefix_cache_gb: Gigabytes = Field(0.5, ge=0)
    image_cache_gb: Gigabytes = Field(0.125, ge=0)
