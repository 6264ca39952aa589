"""Assembles the parts that serve a loaded model. The engine imports this in `load`, since the parts import torch."""

from __future__ import annotations

from workers.engine import Joins
from workers.engines.transformers_chat import families, library, probe
from workers.engines.transformers_chat.answer_maker import AnswerMaker
from workers.engines.transformers_chat.choice_maker import ChoiceMaker
from workers.engines.transformers_chat.chunk_sizer import ChunkSizer
from workers.engines.transformers_chat.decode_loop import DecodeLoop
from workers.engines.transformers_chat.feature_cache import FeatureCache
from workers.engines.transformers_chat.generate_loop import GenerateLoop
from workers.engines.transformers_chat.loading import LoadedModel
from workers.engines.transformers_chat.model_runner import ModelRunner
from workers.engines.transformers_chat.options import ChatOptions
from workers.engines.transformers_chat.prefix_cache import PrefixCache
from workers.engines.transformers_chat.prompt_encoder import PromptEncoder
from workers.engines.transformers_chat.score_processors import warn_of_ignored
from workers.toolkit.chat.constraints.compiler import GrammarCompiler
from workers.toolkit.chat.token_reader import TokenReader

__all__ = [
    "AnswerMaker",
    "ChoiceMaker",
    "DecodeLoop",
    "GenerateLoop",
    "GrammarCompiler",
    "PromptEncoder",
    "TokenReader",
    "runner_of",
    "warn_of_ignored",
]


def runner_of(loaded: LoadedModel, encoder: PromptEncoder, options: ChatOptions) -> tuple[ModelRunner | None, Joins]:
    """The runner that lets requests share the model's steps, or None and the reason why they cannot share them."""
    model = loaded.model
    if reason := probe.obstacle(model):
        return None, Joins(reason)
    try:
        forward = library.ForwardPass(model)
    except TypeError as error:
        return None, Joins(str(error))
    caches = PrefixCache(int(options.prefix_cache_gb * _GIB)), FeatureCache(int(options.image_cache_gb * _GIB))
    runner = ModelRunner(model, families.find(model), forward, *caches, ChunkSizer(options.prefill_chunk))
    image = encoder.with_image() if loaded.vision and not runner.family.has_adapter else None
    if reason := probe.examine(runner, loaded, image):
        return None, Joins(reason)
    if not runner.reads_in_chunks:
        runner.prefixes = PrefixCache(0)
    return runner, Joins()


_GIB = 1 << 30
