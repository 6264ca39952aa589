"""Chat with text and vision-language models of transformers: Qwen2.5-VL, LLaVA, SmolVLM, Idefics3, Qwen, Llama.

`loading` finds the classes, `prompt` makes the inputs, `loop` lets newcomers join between two steps of the model,
`decoding` does a step for all rows at work, `caches` joins and parts what the model remembers of them, `sampling` picks
each row's token, `workers.toolkit.chat` makes chunks of tokens. Nothing heavy is imported before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.tasks.chat import CHAT, ChatRequest
from workers.engine import Call, Device, Engine, Feed, serves
from workers.toolkit import pretrained
from workers.toolkit.pretrained import TorchOptions

if TYPE_CHECKING:
    from workers.engines.transformers_chat.decoding import Prompt
    from workers.toolkit.chat.answer import ChatAnswer, ChatChoice

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
"""Modules of the common families: 0.2 s and 6 MB once, a tenth of a second less at each start."""

_MAX_BATCH = 16
"""Rows at work at once. Their caches are as wide as the longest: the context's worth of memory times this, at most."""
_UNBOUNDED = 4096
"""Tokens of an answer for which neither the model nor the request knows a bound."""


class ChatOptions(TorchOptions):
    """`context` bounds prompt and answer together, in tokens; `chat_template` (Jinja) is for a model without one."""

    context: int | None = Field(None, ge=2)
    chat_template: str | None = None


class TransformersChat(Engine):
    """Text and vision-language models through transformers' Auto classes."""

    extras: ClassVar[tuple[str, ...]] = ("chat",)
    Options = ChatOptions
    features = frozenset({"images", "frequency_penalty", "presence_penalty"})
    imports = (
        "workers.toolkit.torchvision_shim",
        f"{_HERE}.loading",
        f"{_HERE}.prompt",
        f"{_HERE}.loop",
        f"{_HERE}.sampling",
        "transformers:AutoTokenizer",
        "transformers:AutoProcessor",
        *(f"transformers.models.{family}" for family in _FAMILIES),
        "num2words",
        f"{_HERE}.warm",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        options = ChatOptions.model_validate(spec.options)
        pretrained.set_up_torch(options)
        from workers.engines.transformers_chat import loading, prompt

        loaded = loading.load(spec, device, options)
        self._name = spec.id
        self._loaded = loaded
        self._model = loaded.model
        self._prompts = prompt.Prompts(loaded, options.chat_template, loading.context_of(loaded, options.context), spec)
        self._ends = loading.ends_of(loaded)
        self._recommended = loading.take_recommended(loaded.model)

    @classmethod
    def supports_model_type(cls, model_type: str) -> bool:
        from workers.engines.transformers_chat import loading

        return loading.is_for_chat(model_type)

    def loaded_features(self) -> frozenset[str]:
        return self.features if self._loaded.vision else self.features - {"images"}

    @serves(CHAT, max_batch=_MAX_BATCH, joins=True)
    def chat(self, feed: Feed[ChatRequest]) -> Iterator[tuple[Call[ChatRequest], Any]]:
        """Answer conversations; see `workers.engine.serves` for what is yielded, `loop` for who is answered when."""
        from workers.engines.transformers_chat.loop import Loop

        yield from Loop(self._model, feed, self._read, self._advance).run()

    def _read(self, call: Call[ChatRequest]) -> Prompt:
        """A call's prompt. Raises what is to be told: ContextTooLong, BadImage, UnsupportedFeature, BadRequest."""
        from workers.engines.transformers_chat.decoding import Prompt
        from workers.engines.transformers_chat.sampling import Sampler
        from workers.toolkit.chat.answer import ChatAnswer, ChatChoice

        request = call.request
        inputs = self._prompts.encode(self._prompts.conversation(request))
        answer = ChatAnswer(call, self._name)
        prompt = Prompt(call, inputs, answer.choices)
        answer.prompt_tokens = prompt.length
        left = self._prompts.check(prompt.length)
        asked = request.limit or self._recommended.get("max_new_tokens")
        limit = min((limit for limit in (left, asked) if limit is not None), default=_UNBOUNDED)
        for index in range(request.n or 1):
            sampler = Sampler(request, self._recommended, index, self._model.device)
            answer.choices.append(ChatChoice(answer, index, sampler, self._decode, limit))
        return prompt

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._loaded.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _advance(self, choice: ChatChoice, token: int) -> Iterator[tuple[Call[ChatRequest], Any]]:
        answer: ChatAnswer = choice.answer
        text = choice.push(token, self._ends)
        answer.call.progress(choice.tokens, choice.limit)
        for chunk in answer.chunks(choice, text):
            yield answer.call, chunk
        if answer.is_complete:
            yield answer.call, answer.usage()
            yield answer.call, None
