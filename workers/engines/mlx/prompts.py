"""Makes the model's inputs of conversations: pictures are opened, the chat template is applied, tokens are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

from contract.tasks.chat import ChatRequest, ImagePart, Message, TextPart
from workers.engines.mlx.guard import Guard
from workers.engines.mlx.loading import LoadedMlx
from workers.toolkit.chat import conversation as shared
from workers.toolkit.image_loading import open_image


@dataclass(frozen=True, slots=True)
class MlxPrompt:
    """A conversation as the model reads it; `inputs` are what a vision-language model takes beside the tokens."""

    tokens: list[int]
    inputs: dict[str, Any] = field(default_factory=dict)


class MlxPrompts:
    """A language model's tokenizer, its chat template and the length of its context; an entry may set the last two."""

    def __init__(self, loaded: LoadedMlx, template: str | None, context: int | None) -> None:
        found = loaded.checkpoint
        self._tokenizer = loaded.tokenizer
        self._template = shared.required(template or loaded.template, found.spec, found.model_type)
        self._context = found.context(context)
        self._guard = Guard(loaded.tokenizer, self._template)

    def read(self, request: ChatRequest) -> MlxPrompt:
        """The request's conversation.

        Raises BadImage, UnsupportedFeature for what the model cannot take, BadRequest when the chat template or the
        processor refuses the conversation.
        """
        with shared.refusals():
            return self._read(request.messages)

    def room(self, prompt: MlxPrompt) -> int | None:
        """How many tokens are left for the answer; None if the context is unknown. Raises ContextTooLong."""
        return shared.room(len(prompt.tokens), self._context)

    def _read(self, messages: Sequence[Message]) -> MlxPrompt:
        conversation = []
        for message in messages:
            text = "\n".join(self._guard.hide(text) for text in shared.texts(message))
            conversation.append({"role": shared.role(message, self._template), "content": text})
        return MlxPrompt(self._guard.encode(self._render(conversation), add_special_tokens=False))

    def _render(self, conversation: shared.Conversation) -> str:
        text: str = self._tokenizer.apply_chat_template(
            conversation, chat_template=self._template, add_generation_prompt=True, tokenize=False
        )
        return text


class VisionPrompts(MlxPrompts):
    """The same for a vision-language model, whose vision tower turns pictures into embeddings of the prompt."""

    def __init__(self, loaded: LoadedMlx, template: str | None, context: int | None) -> None:
        super().__init__(loaded, template, context)
        self._model, self._processor = loaded.model, loaded.processor
        self._processor.tokenizer = self._guard.tokenizer

    def _read(self, messages: Sequence[Message]) -> MlxPrompt:
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
                raise shared.refusal(part)
        return {"role": shared.role(message, self._template), "content": parts}

    def _embed(self, inputs: dict[str, Any]) -> MlxPrompt:
        """Run the vision tower: what is slow about a picture happens here, once a request."""
        tokens, pixels, mask = (inputs.pop(name, None) for name in ("input_ids", "pixel_values", "attention_mask"))
        embedded = self._model.get_input_embeddings(tokens, pixels, mask=mask, **inputs).to_dict()
        made = {**inputs, **{name: value for name, value in embedded.items() if value is not None}}
        mx.eval([value for value in made.values() if isinstance(value, mx.array)])
        return MlxPrompt(tokens[0].tolist(), made)
