"""The requests of Ollama's API. Source: docs.ollama.com/api."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from contract import known_fields
from contract.errors import UnsupportedFeature
from contract.known_fields import FieldTable, honoured, ignored, neutral, refused
from contract.limits import Items, Name, Text
from contract.media import ImageInput
from contract.tasks.chat import Tool
from contract.tasks.chat.open_model import JsonObject, OpenModel
from contract.tasks.chat.sampling import Factor, Penalty
from gateway.dialects.dialect import DialectRequest

_ORIGIN = "Ollama"
_SIZE = "The entry's `options` in config.yaml say how the model is loaded."


_OF_CHATS = ("system", "images", "format", "think", "logprobs", "top_logprobs", "truncate")
"""What a text without a chat template cannot have."""


class GenerationOptions(OpenModel):
    """How the answer is generated. `num_predict` is the limit of its tokens; -1 and -2 are none."""

    table: ClassVar[FieldTable] = {
        **honoured(_ORIGIN, "num_predict temperature top_k top_p min_p seed stop"),
        **honoured(_ORIGIN, "repeat_penalty presence_penalty frequency_penalty"),
        **ignored(_ORIGIN, "num_ctx repeat_last_n", also=(-1,), hint=_SIZE),
        **neutral(_ORIGIN, "num_keep num_batch num_gpu main_gpu num_thread low_vram f16_kv use_mmap use_mlock numa"),
        **neutral(_ORIGIN, "vocab_only logits_all embedding_only penalize_newline mirostat_tau mirostat_eta"),
        **refused(_ORIGIN, "mirostat draft_num_predict"),
        **refused(_ORIGIN, "typical_p tfs_z", also=(1,)),
    }

    num_predict: int | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_k: int | None = Field(None, ge=-1)
    top_p: float | None = Field(None, gt=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = None
    stop: Name | Items[Name] | None = None
    repeat_penalty: Factor | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None

    def chat_fields(self) -> dict[str, Any]:
        """The fields of a chat that say the same."""
        fields = self.model_dump(include=set(type(self).model_fields), exclude_none=True)
        limit = fields.pop("num_predict", None)
        return fields | ({"max_tokens": limit} if limit is not None and limit >= 0 else {})


class GenerationRequest(DialectRequest):
    """What requests for chats and for texts have in common. Answers are streamed unless `stream` is false."""

    known_fields: ClassVar[FieldTable] = {
        **refused(_ORIGIN, "template context", hint="Send a conversation to `/api/chat`."),
        **refused(_ORIGIN, "width height steps", hint="Images are drawn at `/v1/images/generations`."),
        **honoured(_ORIGIN, "truncate", hint="`true` needs an engine with `truncation`."),
        **neutral(_ORIGIN, "shift"),
    }

    model: Name
    stream: bool | None = None
    format: Annotated[JsonObject | Literal["", "json"] | None, Field(union_mode="left_to_right")] = None
    options: GenerationOptions | None = None
    think: bool | Name | None = None
    truncate: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to answer: the model is only loaded."""
        raise NotImplementedError

    def refuse(self) -> None:
        super().refuse()
        if self.options and (missing := known_fields.requirements(self.options, GenerationOptions.table)):
            names = ", ".join(f"`options.{name}`" for name, _ in missing)
            raise UnsupportedFeature(f"{names}: Enginehouse does not support this. Leave it out.", param="options")

    def warnings(self) -> list[str]:
        if self.options is None:
            return super().warnings()
        of_options = known_fields.warnings(self.options, GenerationOptions.table)
        return [*super().warnings(), *(sentence.replace("`", "`options.", 1) for sentence in of_options)]


class OllamaFunction(OpenModel):
    name: Name
    arguments: JsonObject = Field(default_factory=dict)


class OllamaCall(OpenModel):
    """A call of a tool. Older versions of the API have no ids."""

    id: Name | None = None
    function: OllamaFunction


class OllamaMessage(OpenModel):
    """A message, with images as base64. The result of a tool names the tool as `tool_name`."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Text | None = None
    thinking: Text | None = None
    images: Items[ImageInput] | None = None
    tool_calls: Items[OllamaCall] | None = None
    tool_name: Name | None = None
    tool_call_id: Name | None = None


class OllamaChatRequest(GenerationRequest):
    """A conversation that the model continues. One without messages only loads the model."""

    known_fields: ClassVar[FieldTable] = {
        **GenerationRequest.known_fields,
        **refused(_ORIGIN, "suffix raw", hint="Send a text to `/api/generate`."),
    }

    messages: Items[OllamaMessage] = Field(default_factory=list)
    tools: Items[Tool] | None = None

    @property
    def is_empty(self) -> bool:
        return not self.messages


class OllamaGenerateRequest(GenerationRequest):
    """A text that the model answers, with a system prompt and images. One without a text only loads the model.

    `raw` continues the text as it is, without the chat template; `suffix` is the text after what is to be written.
    """

    prompt: Text = ""
    suffix: Text | None = None
    raw: bool | None = None
    system: Text | None = None
    images: Items[ImageInput] | None = None

    @property
    def is_empty(self) -> bool:
        return not self.prompt

    @property
    def is_completion(self) -> bool:
        """Whether the text is continued without a chat template."""
        return bool(self.raw or self.suffix)

    def refuse(self) -> None:
        super().refuse()
        if not self.is_completion:
            return
        names = [name for name in _OF_CHATS if getattr(self, name)]
        if names:
            fields = ", ".join(f"`{name}`" for name in names)
            raise UnsupportedFeature(f"{fields}: not with `raw` or `suffix`. Leave it out.", param=names[0])


class OllamaEmbedRequest(DialectRequest):
    """A text or several to embed. Texts that are too long are cut unless `truncate` is false."""

    known_fields: ClassVar[FieldTable] = {
        **neutral(_ORIGIN, "options"),
    }

    model: Name
    input: Text | Items[Text]
    truncate: bool | None = None
    dimensions: int | None = None


class OllamaEmbeddingsRequest(DialectRequest):
    """One text to embed, at the path from before `/api/embed`. A long one is cut unless `truncate` is false."""

    known_fields: ClassVar[FieldTable] = neutral(_ORIGIN, "options")

    model: Name
    prompt: Text = ""
    truncate: bool | None = None


class ShowRequest(DialectRequest):
    """The model to describe; older clients call it `name`."""

    known_fields: ClassVar[FieldTable] = neutral(_ORIGIN, "verbose system template options")

    model: Name = ""
    name: Name = ""
