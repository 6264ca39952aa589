"""Puts together what serves a loaded model: all that the engine needs once it is loaded, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.engine import Joins
from workers.engines.transformers_chat import families, library, probe
from workers.engines.transformers_chat.chat_prompt import ChatPrompt
from workers.engines.transformers_chat.decode_loop import DecodeLoop
from workers.engines.transformers_chat.feature_cache import FeatureCache
from workers.engines.transformers_chat.generate_loop import GenerateLoop
from workers.engines.transformers_chat.loading import LoadedModel
from workers.engines.transformers_chat.machine import Machine
from workers.engines.transformers_chat.pace import Pace
from workers.engines.transformers_chat.prefix_cache import PrefixCache
from workers.engines.transformers_chat.prompt_encoder import PromptEncoder
from workers.engines.transformers_chat.prompt_row import PromptRow
from workers.engines.transformers_chat.sampling import TokenSampler
from workers.engines.transformers_chat.score_processors import processors_of, warn_of_ignored

if TYPE_CHECKING:
    from workers.engines.transformers_chat import ChatOptions

__all__ = [
    "ChatPrompt",
    "DecodeLoop",
    "GenerateLoop",
    "PromptEncoder",
    "PromptRow",
    "TokenSampler",
    "machine_of",
    "processors_of",
    "warn_of_ignored",
]


def machine_of(loaded: LoadedModel, encoder: PromptEncoder, options: ChatOptions) -> tuple[Machine | None, Joins]:
    """What runs the model so that requests share its steps, or None, and what is said of that."""
    model = loaded.model
    if reason := probe.obstacle(model):
        return None, Joins(reason)
    try:
        forward = library.ForwardPass(model)
    except TypeError as error:
        return None, Joins(str(error))
    caches = PrefixCache(int(options.prefix_cache_gb * _GIB)), FeatureCache(int(options.image_cache_gb * _GIB))
    machine = Machine(model, families.find(model), forward, *caches, Pace(options.prefill_chunk))
    image = encoder.with_image() if loaded.vision and not machine.family.has_adapter else None
    if reason := probe.examine(machine, loaded, image):
        return None, Joins(reason)
    if not machine.reads_in_pieces:
        machine.prefixes = PrefixCache(0)
    return machine, Joins()


_GIB = 1 << 30
