"""The `options` of an entry of this engine."""

from __future__ import annotations

from pydantic import Field

from contract.config.fields import Gigabytes
from workers import engine
from workers.toolkit.chat.dialect import ReasoningFormatName, ToolFormatName
from workers.toolkit.pretrained import Quantization


class MlxOptions(engine.Options):
    """`quantization` quantises weights that are not quantised yet. `buffer_cache_gb` limits the memory, in GiB,
    that MLX keeps for its next computations.

    Chat: `context` limits prompt and answer together, in tokens; `chat_template` is a Jinja template that replaces the
    model's own. `tool_format` and `reasoning_format` say how the model writes calls of tools and thoughts, where its
    template does not show it; `none` offers no tools, or leaves thoughts in the answer. `prefix_cache_gb` limits the
    memory, in GiB, for earlier conversations with text models, and 0 keeps none.

    Embeddings: `batch_size` is the number of texts in one forward pass. `truncate`: cut a text that exceeds the model's
    limit, instead of refusing it; null: embeddings refuse such texts, image generation cuts them and warns.
    """

    quantization: Quantization | None = None
    context: int | None = Field(None, ge=2)
    chat_template: str | None = None
    tool_format: ToolFormatName | None = None
    reasoning_format: ReasoningFormatName | None = None
    buffer_cache_gb: Gigabytes = Field(1.0, ge=0)
    prefix_cache_gb: Gigabytes = Field(0.5, ge=0)
    truncate: bool | None = None
    batch_size: int = Field(32, ge=1)
