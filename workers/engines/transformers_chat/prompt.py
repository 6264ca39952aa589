"""Makes the model's inputs of conversations: pictures are opened, the chat template is applied."""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError
from PIL import Image

from contract.config import ModelSpec
from contract.tasks.chat import ChatRequest, ImagePart, Message, OtherPart, TextPart
from workers.engines.transformers_chat.loading import Loaded
from workers.toolkit.chat import conversation as shared
from workers.toolkit.chat.conversation import Conversation
from workers.toolkit.image_loading import open_image


class Prompts:
    """A model's processor (or tokenizer), its chat template and the length of its context."""

    def __init__(self, loaded: Loaded, template: str | None, context: int | None, spec: ModelSpec) -> None:
        self._processor = loaded.processor
        self._vision = loaded.vision
        template = template or loaded.processor.chat_template
        self._template = shared.required(template, spec, loaded.model.config.model_type)
        self.context = context
        self._guards = not spec.trust_remote_code and self._can_guard()

    def conversation(self, request: ChatRequest) -> Conversation:
        """The request's messages. Raises BadImage, or UnsupportedFeature for what the model cannot take."""
        return [self._message(message) for message in request.messages]

    def encode(self, conversation: Conversation) -> Any:
        """Inputs for `generate`, in one row. Raises BadRequest when the chat template or the processor refuses it."""
        with shared.refusals():
            return self._apply(conversation, self._guards)

    def check(self, tokens: int) -> int | None:
        """How many tokens are left for the answer to a prompt of `tokens`. Raises ContextTooLong."""
        return shared.room(tokens, self.context)

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
        parts: Any = [_part(part) for part in message.parts] if self._vision else "\n".join(shared.texts(message))
        return {"role": shared.role(message, self._template), "content": parts}


def _part(part: TextPart | ImagePart | OtherPart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        return {"type": "image", "image": open_image(part.image_url.url)}
    raise shared.refusal(part)
