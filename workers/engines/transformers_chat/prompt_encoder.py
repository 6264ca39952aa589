"""Prepares a model's inputs from conversations: opens images, applies the chat template, runs the processor."""

from __future__ import annotations

import copy
from typing import Any

from jinja2 import TemplateError
from PIL import Image

from contract.config import ModelSpec
from contract.image_loading import open_image
from contract.tasks.chat import ChatRequest, ImagePart, Message, OtherPart, TextPart
from workers.engines.transformers_chat import library
from workers.engines.transformers_chat.loading import LoadedModel
from workers.engines.transformers_chat.options import ChatOptions
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

_IMAGE_QUESTION = [{"type": "image", "image": Image.new("RGB", (56, 56), "grey")}, {"type": "text", "text": "?"}]


class PromptEncoder(Tokenization):
    """A model's processor (or tokenizer), its chat template and its context length in tokens."""

    def __init__(self, loaded: LoadedModel, options: ChatOptions, context: int | None, spec: ModelSpec) -> None:
        self._processor = loaded.processor
        self._tokenizer = loaded.tokenizer
        self._vision = loaded.vision
        template = options.chat_template or loaded.processor.chat_template
        self._template = require_template(template, spec, loaded.model.config.model_type)
        self.context = context
        self._guard: Guard | None = None
        if self._vision and not spec.trust_remote_code:
            self._guard = Guard(self._tokenizer, str(self._template))
            self._processor.tokenizer = self._guard.tokenizer
        self._sanitizes = not self._vision and not spec.trust_remote_code and self._can_sanitize()
        self.dialect = find_dialect(self._template, self._render, options, vision=self._vision)

    def encode(self, request: ChatRequest) -> Any:
        """Inputs for `generate`, in one row.

        Raises BadImage, UnsupportedFeature for what the model cannot take, and BadRequest if the chat template or the
        processor refuses the conversation. Raises ContextTooLong if the images alone do not fit into the context, since
        preparing them can take gigabytes.
        """
        if self._vision and (sizes := image_sizes(request.messages)):
            self.check(library.image_tokens(self._processor, sizes))
        variables = self.dialect.variables(request)
        conversation = self.dialect.turns.write(request.messages, self._content)
        if self._guard:
            variables, conversation = self._guard.hide_all(variables), self._guard.hide_all(conversation)
        with report_refusals():
            return self._apply(conversation, **{**variables, **ending_of(request)})

    def chat_tokens(self, request: ChatRequest) -> list[int]:
        """The tokens of a conversation's prompt. Raises what `encode` raises."""
        tokens: list[int] = self.encode(request)["input_ids"][0].tolist()
        return tokens

    def copied(self) -> PromptEncoder:
        """An encoder with a processor of its own, for another thread."""
        twin = copy.copy(self)
        twin._processor = copy.deepcopy(self._processor)
        twin._tokenizer = getattr(twin._processor, "tokenizer", twin._processor)
        return twin

    def end_of(self, inputs: Any) -> str:
        """The last text of a prompt, with its control tokens."""
        return self._end_of(inputs["input_ids"][0])

    def check(self, tokens: int, *, param: str = "messages") -> int | None:
        """The tokens left for the answer to a prompt of `tokens`; None if unknown. Raises ContextTooLong."""
        return tokens_left(tokens, self.context, param=param)

    def _apply(self, conversation: Conversation, **variables: Any) -> Any:
        return self._processor.apply_chat_template(
            [conversation],
            chat_template=self._template if isinstance(self._template, str) else None,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            sanitize_control_tokens=self._sanitizes,
            **{"add_generation_prompt": True, **variables},
        )

    def _render(self, conversation: Conversation, **variables: Any) -> str:
        """The text of a prompt, for finding out what the chat template can do."""
        text: str = self._processor.apply_chat_template(
            conversation,
            chat_template=self._template if isinstance(self._template, str) else None,
            add_generation_prompt=True,
            tokenize=False,
            **variables,
        )
        return text

    def with_image(self) -> Any:
        """Inputs of a prompt about a grey image, for the probe. Raises what the processor or template raises."""
        return self._apply([{"role": "user", "content": _IMAGE_QUESTION}])

    def _can_sanitize(self) -> bool:
        """Whether the tokenizer can read control tokens in user text as plain text; not every one can."""
        self._sanitizes = True
        try:
            self._apply([{"role": "user", "content": "?"}])
        except (NotImplementedError, ValueError, TemplateError):
            return False
        return True

    def _content(self, message: Message) -> Any:
        return [_part(part) for part in message.parts] if self._vision else "\n".join(texts(message))


def _part(part: TextPart | ImagePart | OtherPart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        return {"type": "image", "image": open_image(part.image)}
    raise unsupported_part(part)
