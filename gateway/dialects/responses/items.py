"""The items of a conversation in OpenAI's Responses API: messages, thoughts, calls of tools and their results."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contract.limits import Items, Name, Text
from contract.media import ImageInput
from contract.tasks.chat.open_model import OpenModel
from contract.tasks.chat.tools import FunctionName


class InputTextPart(OpenModel):
    """Text, of any side of the conversation."""

    type: Literal["input_text", "output_text", "text", "summary_text", "reasoning_text"]
    text: Text


class InputRefusalPart(OpenModel):
    """A refusal in an earlier answer."""

    type: Literal["refusal"]
    refusal: Text


class InputImagePart(OpenModel):
    """An image, as a data URL or an address. One by its `file_id` is refused."""

    type: Literal["input_image"]
    image_url: ImageInput | None = None
    file_id: Name | None = None


class InputOtherPart(OpenModel):
    """A part that no model here reads, such as a file."""

    type: Name


InputPart = Annotated[
    InputImagePart | InputTextPart | InputRefusalPart | InputOtherPart, Field(union_mode="left_to_right")
]


class MessageItem(OpenModel):
    """A message. `type` may be left out."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    # The list comes first: trying it as text would copy the images in it.
    content: Annotated[Items[InputPart] | Text, Field(union_mode="left_to_right")]


class CallItem(OpenModel):
    """A call of a function, which the model made."""

    type: Literal["function_call"]
    call_id: Name
    name: FunctionName
    arguments: Text


class CallOutputItem(OpenModel):
    """The result of a call."""

    type: Literal["function_call_output"]
    call_id: Name
    output: Annotated[Items[InputPart] | Text, Field(union_mode="left_to_right")]


class ReasoningItem(OpenModel):
    """Thoughts of the model. Those in `encrypted_content` only OpenAI can read; they are left out."""

    type: Literal["reasoning"]
    summary: Items[InputTextPart] | None = None
    content: Items[InputTextPart] | None = None


class OtherItem(OpenModel):
    """An item of a tool that runs at OpenAI, or a reference to a stored one."""

    type: Name


ConversationItem = Annotated[
    CallItem | CallOutputItem | ReasoningItem | MessageItem | OtherItem, Field(union_mode="left_to_right")
]
