"""Makes the model's inputs of conversations: pictures are opened, the chat template is applied, tokens are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
from jinja2 import TemplateError

from contract.config import ModelSpec
from contract.errors import BadRequest, ContextTooLong, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.chat import ChatRequest, ImagePart, Message, TextPart
from workers.engines.mlx.guard import Guard
from workers.engines.mlx.loading import Loaded
from workers.images import open_image


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation as the model reads it; `inputs` are what a vision-language model takes beside the tokens."""

    tokens: list[int]
    inputs: dict[str, Any] = field(default_factory=dict)


class Prompts:
    """A language model's tokenizer, its chat template and the length of its context."""

    def __init__(self, spec: ModelSpec, loaded: Loaded, template: str | None, context: int | None) -> None:
        template = template or loaded.template
        if not template:
            raise LoadFailed(
                f"{spec.source} has no chat template, so nobody knows how it wants a conversation written. Use the "
                "model's instruction-tuned sibling, or set `options: {chat_template: …}` to a Jinja template."
            )
        self._tokenizer = loaded.tokenizer
        self._template = template
        self._context = context
        self._guard = Guard(loaded.tokenizer, template)
        self._knows_developer = "developer" in template

    def read(self, request: ChatRequest) -> Prompt:
        """The request's conversation.

        Raises BadImage, UnsupportedFeature for what the model cannot take, BadRequest when the chat template or the
        processor refuses the conversation.
        """
        try:
            return self._read(request.messages)
        except ServeError:
            raise
        except TemplateError as error:
            raise BadRequest(f"The model's chat template refuses this conversation: {error}.") from None
        except ValueError as error:
            raise BadRequest(f"The model's processor refuses this conversation: {error}") from error

    def room(self, prompt: Prompt) -> int | None:
        """How many tokens are left for the answer; None if nobody knows the context's end. Raises ContextTooLong."""
        if self._context is None:
            return None
        tokens = len(prompt.tokens)
        if tokens >= self._context:
            over = tokens - self._context + 1
            raise ContextTooLong(
                f"The prompt has {tokens} tokens. The model's context of {self._context} must hold it and at least one "
                f"of the answer: it is too long by {over}. Shorten the messages or leave out the oldest.",
                param="messages",
                details={"prompt_tokens": tokens, "context": self._context, "over": over},
            )
        return self._context - tokens

    def _read(self, messages: Sequence[Message]) -> Prompt:
        conversation = []
        for message in messages:
            if not all(isinstance(part, TextPart) for part in message.parts):
                raise UnsupportedFeature("This model reads text alone. Send text, or ask a model with vision.")
            texts = [self._guard.hide(part.text) for part in message.parts if isinstance(part, TextPart)]
            conversation.append({"role": self._role(message), "content": "\n".join(texts)})
        return Prompt(self._guard.encode(self._render(conversation), add_special_tokens=False))

    def _render(self, conversation: list[dict[str, Any]]) -> str:
        text: str = self._tokenizer.apply_chat_template(
            conversation, chat_template=self._template, add_generation_prompt=True, tokenize=False
        )
        return text

    def _role(self, message: Message) -> str:
        return "system" if message.role == "developer" and not self._knows_developer else message.role


class VisionPrompts(Prompts):
    """The same for a vision-language model, whose vision tower turns pictures into embeddings of the prompt."""

    def __init__(self, spec: ModelSpec, loaded: Loaded, template: str | None, context: int | None) -> None:
        super().__init__(spec, loaded, template, context)
        self._model, self._processor = loaded.model, loaded.processor
        self._processor.tokenizer = self._guard.tokenizer

    def _read(self, messages: Sequence[Message]) -> Prompt:
        from mlx_vlm.utils import prepare_inputs

        images: list[Any] = []
        conversation = [self._message(message, images) for message in messages]
        picture = getattr(self._model.config, "image_token_index", None)
        text = self._render(conversation)
        return self._embed(
            prepare_inputs(self._processor, images=images or None, prompts=[text], image_token_index=picture)
        )

    def _message(self, message: Message, images: list[Any]) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, TextPart):
                parts.append({"type": "text", "text": self._guard.hide(part.text)})
            elif isinstance(part, ImagePart):
                images.append(open_image(part.image_url.url))
                parts.append({"type": "image"})
            else:
                raise UnsupportedFeature(f"This model does not take content of type {part.type!r}.", param="messages")
        return {"role": self._role(message), "content": parts}

    def _embed(self, inputs: dict[str, Any]) -> Prompt:
        """Run the vision tower: what is slow about a picture happens here, once a request."""
        tokens, pixels, mask = (inputs.pop(name, None) for name in ("input_ids", "pixel_values", "attention_mask"))
        embedded = self._model.get_input_embeddings(tokens, pixels, mask=mask, **inputs).to_dict()
        made = {**inputs, **{name: value for name, value in embedded.items() if value is not None}}
        mx.eval([value for value in made.values() if isinstance(value, mx.array)])
        return Prompt(tokens[0].tolist(), made)
