"""Prepares a model's inputs from conversations: opens images, applies the chat template, counts tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

from contract.tasks.chat import ChatRequest, ImagePart, Message, TextPart
from workers.engines.mlx.guard import Guard
from workers.engines.mlx.loading import LoadedMlx
from workers.toolkit.chat.conversation import (
    Conversation,
    report_refusals,
    require_template,
    role_of,
    texts,
    tokens_left,
    unsupported_part,
)
from workers.toolkit.image_loading import open_image


@dataclass(frozen=True, slots=True)
class MlxPrompt:
    """A prompt's token ids; `inputs` are a vision-language model's other inputs, such as embeddings."""

    tokens: list[int]
    inputs: dict[str, Any] = field(default_factory=dict)


class MlxPrompts:
    """Prepares prompts for a language model. `template` and `context` are an entry's options, or None."""

    def __init__(self, loaded: LoadedMlx, template: str | None, context: int | None) -> None:
        checkpoint = loaded.checkpoint
        self._tokenizer = loaded.tokenizer
        self._template = require_template(template or loaded.template, checkpoint.spec, checkpoint.model_type)
        self._context = checkpoint.context(context)
        self._guard = Guard(loaded.tokenizer, self._template)

    def read(self, request: ChatRequest) -> MlxPrompt:
        """The prompt of the request's conversation.

        Raises BadImage for an image that cannot be opened, UnsupportedFeature for content that the model cannot take,
        and BadRequest if the chat template or the processor refuses the conversation.
        """
        with report_refusals():
            return self._read(request.messages)

    def tokens_left(self, prompt: MlxPrompt) -> int | None:
        """The tokens that the context leaves for the answer; None if it is unknown. Raises ContextTooLong."""
        return tokens_left(len(prompt.tokens), self._context)

    def _read(self, messages: Sequence[Message]) -> MlxPrompt:
        conversation = []
        for message in messages:
            text = "\n".join(self._guard.hide(text) for text in texts(message))
            conversation.append({"role": role_of(message, self._template), "content": text})
        return MlxPrompt(self._guard.encode(self._render(conversation), add_special_tokens=False))

    def _render(self, conversation: Conversation) -> str:
        text: str = self._tokenizer.apply_chat_template(
            conversation, chat_template=self._template, add_generation_prompt=True, tokenize=False
        )
        return text


class VisionPrompts(MlxPrompts):
    """Prepares prompts for a vision-language model, whose vision tower turns images into embeddings."""

    def __init__(self, loaded: LoadedMlx, template: str | None, context: int | None) -> None:
        super().__init__(loaded, template, context)
        self._model, self._processor = loaded.model, loaded.processor
        self._processor.tokenizer = self._guard.tokenizer

    def _read(self, messages: Sequence[Message]) -> MlxPrompt:
        from mlx_vlm.utils import prepare_inputs

        images: list[Any] = []
        conversation = [self._message(message, images) for message in messages]
        image_token = getattr(self._model.config, "image_token_index", None)
        text = self._render(conversation)
        return self._embed(
            prepare_inputs(self._processor, images=images or None, prompts=[text], image_token_index=image_token)
        )

    def _message(self, message: Message, images: list[Any]) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, TextPart):
                parts.append({"type": "text", "text": self._guard.hide(part.text)})
            elif isinstance(part, ImagePart):
                images.append(open_image(part.image))
                parts.append({"type": "image"})
            else:
                raise unsupported_part(part)
        return {"role": role_of(message, self._template), "content": parts}

    def _embed(self, inputs: dict[str, Any]) -> MlxPrompt:
        """Run the vision tower, the slow part of reading an image, once for each request."""
        tokens, pixels, mask = (inputs.pop(name, None) for name in ("input_ids", "pixel_values", "attention_mask"))
        embedded = self._model.get_input_embeddings(tokens, pixels, mask=mask, **inputs).to_dict()
        inputs = {**inputs, **{name: value for name, value in embedded.items() if value is not None}}
        mx.eval([value for value in inputs.values() if isinstance(value, mx.array)])
        return MlxPrompt(tokens[0].tolist(), inputs)
