"""The messages of a conversation: their parts, and the calls of tools in them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from contract.limits import Items, Name, Text
from contract.media import ImageInput
from contract.tasks.chat.open_model import JsonObject, OpenModel


class ImageUrl(OpenModel):
    url: ImageInput
    detail: Name | None = None


class TextPart(OpenModel):
    """Text; `input_text` and `output_text` are its names in the Responses API."""

    type: Literal["text", "input_text", "output_text"]
    text: Text


_IMAGES = ("image", "url", "base64", "data", "source")
"""Where other APIs have the image of a part of type `image`."""


class RefusalPart(OpenModel):
    """A refusal in an earlier answer. For a model it is text."""

    type: Literal["refusal"]
    refusal: Text


class ImagePart(OpenModel):
    """An image; `input_image` is its name in the Responses API. Some clients send the URL without an object around.

    `image` is its name in Anthropic's API (`source`), LangChain (`url`, `base64`) and transformers (`image`). A file
    whose data URI is that of an image is one, too.
    """

    type: Literal["image_url", "input_image", "image", "file", "input_file"]
    # The object comes first: trying it as an image would copy the text in it.
    image_url: Annotated[ImageUrl | ImageInput, Field(union_mode="left_to_right")]

    @model_validator(mode="before")
    @classmethod
    def _read_other_spellings(cls, part: Any) -> Any:
        if not isinstance(part, dict) or part.get("type") not in ("image", "file", "input_file"):
            return part
        if part["type"] != "image":
            nested = part.get("file")
            uri = (nested if isinstance(nested, dict) else part).get("file_data")
            return part | {"image_url": uri} if isinstance(uri, str) and uri[:11].lower() == "data:image/" else part
        source = part.get("source")
        sent = {**part, **source} if isinstance(source, dict) else part
        image = next((sent[name] for name in ("image_url", *_IMAGES) if sent.get(name)), None)
        return {name: value for name, value in part.items() if name not in _IMAGES} | {"image_url": image}

    @property
    def image(self) -> ImageInput:
        return self.image_url.url if isinstance(self.image_url, ImageUrl) else self.image_url


class OtherPart(OpenModel):
    """Audio, files and future types of content: kept for engines that support them."""

    type: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")

    @property
    def hint(self) -> str:
        """What to send instead."""
        return instead_of(self.type)


Part = Annotated[ImagePart | TextPart | RefusalPart | OtherPart, Field(union_mode="left_to_right")]
"""The first type that fits is used; pydantic's default would try all of them, and each would copy an image's text."""

_FORMS = {
    "text": 'a part of type text needs its `text`: {"type": "text", "text": "..."}',
    "image_url": 'a part of type image_url needs {"type": "image_url", "image_url": {"url": "..."}}',
    "image": 'an image is a part {"type": "image_url", "image_url": {"url": "..."}}, or, as in Anthropic\'s API, '
    '{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "..."}}',
    "input_text": 'a part of type input_text needs its `text`: {"type": "input_text", "text": "..."}',
    "output_text": 'a part of type output_text needs its `text`: {"type": "output_text", "text": "..."}',
    "input_image": 'a part of type input_image needs {"type": "input_image", "image_url": "..."}',
    "refusal": 'a part of type refusal needs its `refusal`: {"type": "refusal", "refusal": "..."}',
}
"""What is wrong with a part of a known type that fits none of the models."""

_INSTEAD = {
    "file input_file document": "Send the text of a document as a part of type text, and its pages, or an image, as "
    '{"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}.',
    "input_audio audio audio_url": "POST /v1/audio/transcriptions makes text of recordings, if a model for that is "
    "configured.",
    "video_url video input_video": 'Send some of its frames as {"type": "image_url", "image_url": {"url": "..."}}.',
    "tool_use tool_call": "Calls of tools are `tool_calls` of the assistant's message. Anthropic's blocks are read at "
    "POST /v1/messages.",
    "tool_result": "The result of a tool is a message of its own, with the role tool and `tool_call_id`. Anthropic's "
    "blocks are read at POST /v1/messages.",
    "thinking redacted_thinking reasoning": "Thoughts are `reasoning_content` of the assistant's message. Anthropic's "
    "blocks are read at POST /v1/messages.",
}


def instead_of(part_type: str) -> str:
    """What to send instead of a part of a type that models do not read."""
    hint = next((hint for types, hint in _INSTEAD.items() if part_type in types.split()), "")
    return hint or "A part is of type text, image_url, input_text, output_text, input_image, image or refusal."


class CalledFunction(OpenModel):
    """The function that the model called. Arguments are JSON text; some clients send them as an object."""

    name: Name
    arguments: Annotated[JsonObject | Text, Field(union_mode="left_to_right")] = ""


class ToolCall(OpenModel):
    """A call of a tool in an assistant's message."""

    id: Name | None = None
    type: Name = "function"
    function: CalledFunction | None = None

    @model_validator(mode="after")
    def _check_function(self) -> ToolCall:
        if self.type == "function" and self.function is None:
            raise ValueError('a call of type function needs its `function`: {"name": "...", "arguments": "{...}"}')
        return self


class Message(OpenModel):
    """A message. Clients of Ollama send images in `images`, beside the text instead of in it."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    # The list comes first: trying it as text would copy the images in it.
    content: Annotated[Items[Part] | Text | None, Field(union_mode="left_to_right")] = None
    images: Items[ImageInput] | None = None
    name: Name | None = None
    tool_calls: Items[ToolCall] | None = None
    tool_call_id: Name | None = None
    function_call: CalledFunction | None = None
    refusal: Text | None = None
    reasoning_content: Text | None = None
    reasoning: Text | None = None

    @model_validator(mode="after")
    def _check_parts(self) -> Message:
        for part in self.content if isinstance(self.content, list) else ():
            if isinstance(part, OtherPart) and part.type in _FORMS:
                raise ValueError(_FORMS[part.type])
        return self

    @property
    def parts(self) -> list[TextPart | ImagePart | OtherPart]:
        """The content as a list, plain text included: first the images beside it. A refusal is text, wherever it is."""
        images = [ImagePart(type="image_url", image_url=image) for image in self.images or ()]
        content = self.content if self.content or isinstance(self.content, str) else self.refusal or ()
        if isinstance(content, str):
            return [*images, TextPart(type="text", text=content)]
        return [
            *images,
            *(TextPart(type="text", text=p.refusal) if isinstance(p, RefusalPart) else p for p in content),
        ]

    @property
    def calls(self) -> list[ToolCall]:
        """The calls of tools in an assistant's message, with that in the old form of `function_call`."""
        calls = list(self.tool_calls or ())
        if self.function_call:
            calls.append(ToolCall(id=f"call_{self.function_call.name}", function=self.function_call))
        return calls

    @property
    def thoughts(self) -> str:
        """The reasoning before an assistant's answer, under either name; empty if there is none."""
        return self.reasoning_content or self.reasoning or ""
