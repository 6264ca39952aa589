"""Chat with text and vision-language models of transformers: Qwen2.5-VL, LLaVA, SmolVLM, Idefics3, Qwen, Llama.

`loading` finds the classes, `prompt` makes the inputs, `decoding` runs the model a step at a time for a whole batch,
`sampling` picks each row's token, `text` and `answer` make chunks of tokens. Nothing heavy is imported before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.chat import CHAT, ChatRequest, ImagePart
from workers import engine
from workers.engine import Call, Device, Engine, serves

if TYPE_CHECKING:
    from workers.engines.transformers_chat.answer import Answer, Choice
    from workers.engines.transformers_chat.prompt import Conversation

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

_MAX_BATCH = 8
_UNBOUNDED = 4096
"""Tokens of an answer for which neither the model nor the request knows a bound."""


class Options(engine.Options):
    """`context` bounds prompt and answer together, in tokens; `threads` are torch's on a CPU."""

    context: int | None = Field(None, ge=2)
    threads: int | None = Field(None, ge=1)
    chat_template: str | None = None


def _group(request: ChatRequest) -> Any:
    """Pictures go with pictures and text with text; several choices are a batch of their own."""
    if (request.n or 1) > 1:
        return object()
    contents = [message.content for message in request.messages if isinstance(message.content, list)]
    return any(isinstance(part, ImagePart) for content in contents for part in content)


class TransformersChat(Engine):
    """Text and vision-language models through transformers' Auto classes."""

    Options = Options
    features = frozenset({"images", "frequency_penalty", "presence_penalty"})
    imports = (
        "workers.torchvision_shim",
        f"{_HERE}.loading",
        f"{_HERE}.prompt",
        f"{_HERE}.decoding",
        "transformers:AutoTokenizer",
        "transformers:AutoProcessor",
        *(f"transformers.models.{family}" for family in _FAMILIES),
        "num2words",
        f"{_HERE}.warm",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        import torch

        import workers.torchvision_shim  # noqa: F401  (before transformers)
        from workers.engines.transformers_chat import loading, prompt

        options = Options.model_validate(spec.options)
        if options.threads:
            torch.set_num_threads(options.threads)
        loaded = loading.load(spec, device)
        self._name = spec.id
        self._loaded = loaded
        self._model = loaded.model
        self._prompts = prompt.Prompts(loaded, options.chat_template, loading.context_of(loaded, options.context), spec)
        self._ends = loading.ends_of(loaded)
        self._recommended = loading.take_recommended(loaded.model)

    def features_of(self) -> frozenset[str]:
        return self.features if self._loaded.vision else self.features - {"images"}

    @serves(CHAT, max_batch=_MAX_BATCH, group=_group)
    def chat(self, calls: list[Call[ChatRequest]]) -> Iterator[tuple[Call[ChatRequest], Any]]:
        """Answer conversations; see `workers.engine.serves` for what is yielded."""
        rows: list[tuple[Choice, Conversation]] = []
        for call in calls:
            try:
                conversation = self._prompts.conversation(call.request)
            except ServeError as error:
                yield call, error
            else:
                rows += [(choice, conversation) for choice in self._choices(call)]
        while rows := [row for row in rows if not row[0].is_over]:  # those whose client has left need no prompt
            batch, rows = rows[:_MAX_BATCH], rows[_MAX_BATCH:]
            yield from self._answer(batch)

    def _choices(self, call: Call[ChatRequest]) -> list[Choice]:
        from workers.engines.transformers_chat.answer import Answer, Choice
        from workers.engines.transformers_chat.sampling import Sampler

        answer = Answer(call, self._name)
        for index in range(call.request.n or 1):
            sampler = Sampler(call.request, self._recommended, index, self._model.device)
            answer.choices.append(Choice(answer, index, sampler, self._decode))
        return answer.choices

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._loaded.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _answer(self, rows: list[tuple[Choice, Conversation]]) -> Iterator[tuple[Call[ChatRequest], Any]]:
        """Run one batch of choices to its end."""
        from workers.engines.transformers_chat.decoding import decode

        inputs = self._prompts.encode([conversation for _, conversation in rows])
        lengths = inputs["attention_mask"].sum(-1).tolist()
        fitting = []
        for (choice, conversation), length in zip(rows, lengths, strict=True):
            try:
                self._limit(choice, length)
                fitting.append((choice, conversation))
            except ServeError as error:
                yield choice.answer.call, error
        if not fitting:
            return
        if len(fitting) < len(rows):
            inputs = self._prompts.encode([conversation for _, conversation in fitting])
        choices = [choice for choice, _ in fitting]
        for step in decode(self._model, self._inputs(inputs), choices):
            for choice, token in step:
                yield from self._advance(choice, token)

    def _inputs(self, inputs: Any) -> Any:
        """On the model's device, pictures in its dtype."""
        if not self._loaded.vision:
            return inputs.to(self._model.device)
        return inputs.to(self._model.device, dtype=self._model.dtype)

    def _limit(self, choice: Choice, prompt: int) -> None:
        """Settle how long the answer to a prompt of so many tokens may be. Raises ContextTooLong."""
        left = self._prompts.check(prompt)
        asked = choice.answer.call.request.limit or self._recommended.get("max_new_tokens")
        choice.answer.prompt_tokens = prompt
        choice.limit = min((limit for limit in (left, asked) if limit is not None), default=_UNBOUNDED)

    def _advance(self, choice: Choice, token: int) -> Iterator[tuple[Call[ChatRequest], Any]]:
        answer: Answer = choice.answer
        text = choice.push(token, self._ends)
        answer.call.progress(choice.tokens, choice.limit)
        for chunk in answer.chunks(choice, text):
            yield answer.call, chunk
        if answer.is_complete:
            yield answer.call, answer.usage()
            yield answer.call, None
