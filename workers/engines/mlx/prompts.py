"""Prepares a model's inputs from conversations: opens images, applies the chat template, counts tokens."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

from contract.image_loading import open_image
from contract.tasks.chat import ChatRequest, ImagePart, Message, TextPart
from workers.engines.mlx.loading import LoadedMlx
from workers.engines.mlx.options import MlxOptions
from workers.engines.mlx.prompt_scores import PromptScores, TextScores, VisionScores
from workers.toolkit.chat.control_tokens import Guard
from workers.toolkit.chat.conversation import (
    Conversation,
    ending_of,
    image_sizes,
    report_refusals,
    require_template,
    texts,
    tokens_left,
    unsupported_part,
)
from workers.toolkit.chat.dialect import find_dialect
from workers.toolkit.chat.tokenization import Tokenization


@dataclass(frozen=True, slots=True)
class MlxPrompt:
    """A prompt's token ids; `inputs` are a vision-language model's other inputs, such as embeddings.

    `embed` makes the inputs of a text when its turn comes: those of all prompts of a request could fill the memory.
    `scores` reads the prompt first, if its tokens are reported with their probabilities.
    """

    tokens: list[int]
    inputs: dict[str, Any] = field(default_factory=dict)
    embed: Callable[[], dict[str, Any]] = dict
    scores: PromptScores | None = None


class MlxPrompts(Tokenization):
    """Prepares prompts for a language model, as an entry's options say."""

    def __init__(self, loaded: LoadedMlx, options: MlxOptions) -> None:
        checkpoint = loaded.checkpoint
        self._model = loaded.model
        self._processor = loaded.processor
        self._tokenizer = loaded.tokenizer
        template = options.chat_template or loaded.template
        self._template = require_template(template, checkpoint.spec, checkpoint.model_type)
        self._context = checkpoint.context(options.context)
        self._guard = Guard(loaded.tokenizer, self._template, begins_texts=True)
        self.dialect = find_dialect(self._template, self._render, options, vision=loaded.vision)

    def read(self, request: ChatRequest) -> MlxPrompt:
        """The prompt of the request's conversation.

        Raises BadImage for an image that cannot be opened, UnsupportedFeature for content that the model cannot take,
        and BadRequest if the chat template or the processor refuses the conversation.
        """
        with report_refusals():
            return self._read(request.messages, self._variables(request))

    def of_tokens(self, tokens: list[int], alternatives: int | None = None) -> MlxPrompt:
        """The prompt of a completion; `alternatives`: report its tokens, each with this many of the most probable."""
        scores = None if alternatives is None else TextScores(self._model, tokens, alternatives)
        return MlxPrompt(tokens, scores=scores)

    def chat_tokens(self, request: ChatRequest) -> list[int]:
        """The tokens of a conversation's prompt, which only counts images. Raises what `read` raises."""
        with report_refusals():
            return self._tokens(request.messages, self._variables(request))

    def copied(self) -> MlxPrompts:
        """The same with a tokenizer of its own, for another thread."""
        twin = copy.copy(self)
        parts = copy.deepcopy((self._tokenizer, self._processor, self._guard))  # together: they have the same tokenizer
        twin._tokenizer, twin._processor, twin._guard = parts
        return twin

    def end_of(self, prompt: MlxPrompt) -> str:
        """The last text of a prompt, with its control tokens."""
        return self._end_of(prompt.tokens)

    @property
    def context(self) -> int | None:
        """The maximum number of tokens of prompt and answer together; None if it is unknown."""
        return self._context

    def tokens_left(self, tokens: int, *, param: str = "messages") -> int | None:
        """The tokens that the context leaves for the answer to a prompt of `tokens`; None if it is unknown.

        Raises ContextTooLong.
        """
        return tokens_left(tokens, self._context, param=param)

    def _variables(self, request: ChatRequest) -> dict[str, Any]:
        return {**self._guard.hide_all(self.dialect.variables(request)), **ending_of(request)}

    def _read(self, messages: Sequence[Message], variables: dict[str, Any]) -> MlxPrompt:
        return MlxPrompt(self._tokens(messages, variables))

    def _tokens(self, messages: Sequence[Message], variables: dict[str, Any]) -> list[int]:
        conversation = self._guard.hide_all(
            self.dialect.turns.write(messages, lambda message: "\n".join(texts(message)))
        )
        return self._guard.encode(self._render(conversation, **variables), add_special_tokens=False)

    def _render(self, conversation: Conversation, **variables: Any) -> str:
        variables = {"add_generation_prompt": True, **variables}
        text: str = self._tokenizer.apply_chat_template(
            conversation, chat_template=self._template, tokenize=False, **variables
        )
        return text


class VisionPrompts(MlxPrompts):
    """Prepares prompts for a vision-language model, whose vision tower turns images into embeddings."""

    def __init__(self, loaded: LoadedMlx, options: MlxOptions) -> None:
        super().__init__(loaded, options)
        self._processor.tokenizer = self._guard.tokenizer

    def of_tokens(self, tokens: list[int], alternatives: int | None = None) -> MlxPrompt:
        """The prompt of a completion, whose tokens are embedded when its turn comes."""

        def embed() -> dict[str, Any]:
            return self._embed({"input_ids": mx.array([tokens])}).inputs

        scores = None if alternatives is None else VisionScores(self._model, tokens, alternatives, embed)
        return MlxPrompt(tokens, embed=embed, scores=scores)

    def _read(self, messages: Sequence[Message], variables: dict[str, Any]) -> MlxPrompt:
        return self._embed(self._inputs(messages, variables))

    def _tokens(self, messages: Sequence[Message], variables: dict[str, Any]) -> list[int]:
        tokens: list[int] = self._inputs(messages, variables)["input_ids"][0].tolist()
        return tokens

    def _inputs(self, messages: Sequence[Message], variables: dict[str, Any]) -> dict[str, Any]:
        """What the processor makes of a conversation: tokens, pixels and what belongs to them."""
        from mlx_vlm.utils import prepare_inputs

        image_sizes(messages)  # raises BadImage for too many pixels before any is opened
        images: list[Any] = []
        turns = self.dialect.turns.write(messages, lambda message: self._content(message, images))
        image_token = getattr(self._model.config, "image_token_index", None)
        text = self._render(self._guard.hide_all(turns), **variables)
        inputs: dict[str, Any] = prepare_inputs(
            self._processor, images=images or None, prompts=[text], image_token_index=image_token
        )
        return inputs

    @staticmethod
    def _content(message: Message, images: list[Any]) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, TextPart):
                parts.append({"type": "text", "text": part.text})
            elif isinstance(part, ImagePart):
                images.append(open_image(part.image))
                parts.append({"type": "image"})
            else:
                raise unsupported_part(part)
        return parts

    def _embed(self, inputs: dict[str, Any]) -> MlxPrompt:
        """Run the vision tower, the slow part of reading an image, once for each request."""
        tokens, pixels, mask = (inputs.pop(name, None) for name in ("input_ids", "pixel_values", "attention_mask"))
        embedded = self._model.get_input_embeddings(tokens, pixels, mask=mask, **inputs).to_dict()
        inputs = {**inputs, **{name: value for name, value in embedded.items() if value is not None}}
        mx.eval([value for value in inputs.values() if isinstance(value, mx.array)])
        return MlxPrompt(tokens[0].tolist(), inputs)
