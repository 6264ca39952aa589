"""Chat with text and vision-language models of transformers: Qwen2.5-VL, LLaVA, SmolVLM, Idefics3, Qwen, Llama.

This engine keeps rows, positions, masks and caches itself, and uses only a model's forward pass. `library` lists what
else it touches in transformers; `families` has an adapter for each family that reads prompts differently.

The path of a request: it waits in `prompt_queue` until a row is free. `prompt_encoder` then renders its messages and
runs the processor, and the family's adapter makes a `prompt_row` of the result; `answer_maker` does that, also for
prompts without a chat template. `prefill_scheduler` reads the row
(`prefill`) in chunks whose size `chunk_sizer` chooses, and reuses earlier prompts and images from `prefix_cache` and
`feature_cache`. `decode_loop` adds its rows to the running batch (`decode_batch`, `kv_cache`), in which every row gets
one token in each step; `sampling` picks the tokens, and `workers.toolkit.chat` turns them into text.

When a model is loaded, `probe` checks that this loop computes the same scores as `generate`. If not, requests do not
share steps: `generate_loop` answers them one by one with `generate`, and the log, the status and a metric report it.

Nothing heavy is imported before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from contract.config import ModelSpec
from contract.status import ModelFacts
from contract.tasks.chat import CHAT
from contract.tasks.completions import COMPLETIONS
from contract.tasks.detokenize import DETOKENIZE, DetokenizeRequest
from contract.tasks.tokenize import TOKENIZE, TokenizeRequest
from workers.engine import Call, Device, Engine, Feed, Output, serves
from workers.engines.transformers_chat.options import ChatOptions
from workers.toolkit import pretrained
from workers.toolkit.chat.dialect import DIALECT_FEATURES
from workers.toolkit.chat.sampling_settings import SAMPLING_FEATURES

if TYPE_CHECKING:
    from workers.engines.transformers_chat.model_runner import ModelRunner
    from workers.toolkit.chat.answer import AnswerEvent
    from workers.toolkit.chat.token_reader import TokenReader

_HERE = "workers.engines.transformers_chat"
_FAMILIES = (
    "llama.modeling_llama",
    "qwen2.modeling_qwen2",
    "qwen2.tokenization_qwen2",
    "qwen2_5_vl.modeling_qwen2_5_vl",
    "qwen2_5_vl.processing_qwen2_5_vl",
    "qwen2_vl.image_processing_qwen2_vl",
    "qwen2_vl.video_processing_qwen2_vl",
    "smolvlm.modeling_smolvlm",
    "smolvlm.processing_smolvlm",
    "smolvlm.image_processing_smolvlm",
    "smolvlm.video_processing_smolvlm",
    "idefics3.modeling_idefics3",
    "idefics3.processing_idefics3",
    "idefics3.image_processing_idefics3",
    "clip.modeling_clip",
    "clip.image_processing_clip",
    "llava.modeling_llava",
    "llava.processing_llava",
)
"""Modules of the common families. A standby imports them once (0.2 s, 6 MB), which makes each start 0.1 s faster."""

_MAX_BATCH = 16
"""The maximum number of running rows. All are as wide as the longest, so the KV cache may need this many contexts."""


class TransformersChat(Engine):
    """Text and vision-language models through transformers' Auto classes."""

    extras: ClassVar[tuple[str, ...]] = ("chat",)
    Options = ChatOptions
    features = SAMPLING_FEATURES | DIALECT_FEATURES | {
        "images", "structured_output", "prefill", "prompt_logprobs", "fill_in_middle", "truncation",
    }  # fmt: skip
    imports = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        f"{_HERE}.serving",
        "llguidance.numpy",
        "transformers:AutoTokenizer",
        "transformers:AutoProcessor",
        *(f"transformers.models.{family}" for family in _FAMILIES),
        "num2words",
        f"{_HERE}.warm",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load the model, and check whether requests can share its decode steps. Raises LoadFailed."""
        options = ChatOptions.model_validate(spec.options)
        pretrained.set_up_torch(options)
        from workers.engines.transformers_chat import loading, serving

        loaded = loading.load(spec, device, options)
        self._loaded = loaded
        self._model = loaded.model
        context = loading.context_of(loaded, options.context)
        self._encoder = serving.PromptEncoder(loaded, options, context, spec)
        self._tokens = serving.TokenReader(self._encoder, loaded.model.config.get_text_config(decoder=True).vocab_size)
        end_tokens = loading.end_tokens_of(loaded)
        recommended = loading.take_recommended(loaded.model)
        self._grammars = serving.GrammarCompiler(loaded.vocabulary, end_tokens)
        serving.warn_of_ignored(recommended)
        self._runner, self.joins = serving.runner_of(loaded, self._encoder, options)
        family = self._runner.family if self._runner else None
        maker = serving.ChoiceMaker(spec.id, loaded, recommended, end_tokens)
        self._answers = serving.AnswerMaker(self._encoder, maker, self._grammars, family)

    @classmethod
    def supports_model_type(cls, model_type: str) -> bool:
        from workers.engines.transformers_chat import loading

        return loading.is_for_chat(model_type)

    _tokens: TokenReader
    _runner: ModelRunner | None
    """None: requests do not share steps."""

    def facts(self) -> ModelFacts:
        return self._encoder.dialect.facts(self._encoder.context)

    def loaded_features(self) -> frozenset[str]:
        features = self.features - DIALECT_FEATURES | self._encoder.dialect.features
        if not self._grammars.is_supported:
            features -= {"structured_output"}
        if self._runner is None:  # `generate` does not report the scores of prompts
            features -= {"prompt_logprobs"}
        if self._encoder.fill_in_middle is None:
            features -= {"fill_in_middle"}
        return features if self._loaded.vision else features - {"images"}

    @serves(CHAT, max_batch=_MAX_BATCH, joins=True)
    @serves(COMPLETIONS, max_batch=_MAX_BATCH, joins=True)
    def chat(self, feed: Feed[Any]) -> Iterator[AnswerEvent]:
        """Answer conversations and continue texts, in the same steps.

        See `workers.engine.serves` for what is yielded, `decode_loop` for the order.
        """
        from workers.engines.transformers_chat.serving import DecodeLoop, GenerateLoop

        if self._runner is None:
            yield from GenerateLoop(self._model, feed, self._answers, self.meter).run()
        else:
            yield from DecodeLoop(self._runner, feed, self._answers, self.meter).run()

    @serves(TOKENIZE, max_batch=_MAX_BATCH, beside=True)
    def tokenize(self, calls: list[Call[TokenizeRequest]]) -> Iterator[tuple[Call[TokenizeRequest], Output]]:
        """The tokens of texts and conversations."""
        yield from self._tokens.tokenize(calls)

    @serves(DETOKENIZE, max_batch=_MAX_BATCH, beside=True)
    def detokenize(self, calls: list[Call[DetokenizeRequest]]) -> Iterator[tuple[Call[DetokenizeRequest], Output]]:
        """The text of tokens."""
        yield from self._tokens.detokenize(calls)
