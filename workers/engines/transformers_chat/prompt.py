"""Makes the model's inputs of conversations: pictures are opened, the chat template is applied."""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError
from PIL import Image

from contract.config import ModelSpec
from contract.errors import BadRequest, ContextTooLong, LoadFailed, UnsupportedFeature
from contract.tasks.chat import ChatRequest, ImagePart, Message, OtherPart, TextPart
from workers.engine import find, names
from workers.engines.transformers_chat.loading import Loaded
from workers.images import open_image

Conversation = list[dict[str, Any]]
"""Messages as chat templates read them; in a model with vision each content is a list of parts."""


class Prompts:
    """A model's processor (or tokenizer), its chat template and the length of its context."""

    def __init__(self, loaded: Loaded, template: str | None, context: int | None, spec: ModelSpec) -> None:
        self._processor = loaded.processor
        self._vision = loaded.vision
        self._template = template or loaded.processor.chat_template
        self.context = context
        if not self._template:
            raise LoadFailed(_without_template(spec, loaded.model.config.model_type))
        self._knows_developer = "developer" in str(self._template)
        self._guards = not spec.trust_remote_code and self._can_guard()

    def conversation(self, request: ChatRequest) -> Conversation:
        """The request's messages. Raises BadImage, or UnsupportedFeature for what the model cannot take."""
        return [self._message(message) for message in request.messages]

    def encode(self, conversation: Conversation) -> Any:
        """Inputs for `generate`, in one row. Raises BadRequest when the chat template or the processor refuses it."""
        try:
            return self._apply(conversation, self._guards)
        except TemplateError as error:
            raise BadRequest(f"The model's chat template refuses this conversation: {error}.") from None
        except ValueError as error:
            raise BadRequest(f"The model's processor refuses this conversation: {error}") from error

    def check(self, tokens: int) -> int | None:
        """How many tokens are left for the answer to a prompt of `tokens`. Raises ContextTooLong."""
        if self.context is None:
            return None
        if tokens >= self.context:
            over = tokens - self.context + 1
            raise ContextTooLong(
                f"The prompt has {tokens} tokens. The model's context of {self.context} must hold it and at least one "
                f"of the answer: it is too long by {over}. Shorten the messages or leave out the oldest.",
                param="messages",
                details={"prompt_tokens": tokens, "context": self.context, "over": over},
            )
        return self.context - tokens

    def _apply(self, conversation: Conversation, guard: bool) -> Any:
        return self._processor.apply_chat_template(
            [conversation],
            chat_template=self._template if isinstance(self._template, str) else None,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            sanitize_control_tokens=guard,
        )

    def _can_guard(self) -> bool:
        """Whether control tokens in what users write can be read as plain text: not with every processor."""
        content: Any = "?"
        if self._vision:
            content = [{"type": "image", "image": Image.new("RGB", (56, 56))}, {"type": "text", "text": "?"}]
        try:
            self._apply([{"role": "user", "content": content}], guard=True)
        except (NotImplementedError, ValueError, TemplateError):
            return False
        return True

    def _message(self, message: Message) -> dict[str, Any]:
        role = message.role
        if role == "developer" and not self._knows_developer:
            role = "system"
        if self._vision:
            return {"role": role, "content": [_part(part) for part in message.parts]}
        texts = [part.text for part in message.parts if isinstance(part, TextPart)]
        if len(texts) < len(message.parts):
            raise UnsupportedFeature("This model reads text alone. Send text, or ask a model with vision.")
        return {"role": role, "content": "\n".join(texts)}


def _part(part: TextPart | ImagePart | OtherPart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        return {"type": "image", "image": open_image(part.image_url.url)}
    raise UnsupportedFeature(f"This model does not take content of type {part.type!r}.", param="messages")


def _without_template(spec: ModelSpec, model_type: str) -> str:
    others = [name for name in names() if model_type in find(name).model_types]
    return (
        f"{spec.source} has no chat template, so nobody knows how it wants a conversation written. Use the "
        "model's instruction-tuned sibling, or set `options: {chat_template: …}` to a Jinja template."
    ) + (f" For another task than chat, write `engine: {' or '.join(others)}`." if others else "")
