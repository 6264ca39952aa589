"""The items of a conversation in OpenAI's Responses API: messages, thoughts, calls of tools and their results."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator

from contract.limits import Items, Name, Text
from contract.media import ImageInput
from contract.tasks.chat.open_model import JsonObject, OpenModel, by_type
from contract.tasks.chat.tools import FunctionName

_LEFT_OUT = frozenset((
    "apply_patch_call", "apply_patch_call_output", "code_interpreter_call", "compaction", "compaction_summary",
    "computer_call", "computer_call_output", "context_compaction", "file_search_call", "ghost_snapshot",
    "image_generation_call", "local_shell_call_output", "mcp_approval_request", "mcp_approval_response", "mcp_call",
    "mcp_list_tools", "shell_call", "shell_call_output", "tool_search_call", "tool_search_output", "web_search_call",
))  # fmt: skip
"""Items of conversations that began with a model of OpenAI, as Codex sends them again to the next model."""


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

    @model_validator(mode="after")
    def _check_image(self) -> InputImagePart:
        if self.image_url is None and self.file_id is None:
            raise ValueError('an image needs its address or data URL: {"type": "input_image", "image_url": "..."}')
        return self


class InputOtherPart(OpenModel):
    """A part that no model here reads, such as a file."""

    type: Name


_PARTS = {
    **dict.fromkeys(("input_text", "output_text", "text", "summary_text", "reasoning_text"), "Text"),
    "refusal": "Refusal",
    "input_image": "Image",
}
InputPart = Annotated[
    Annotated[InputTextPart, Tag("Text")]
    | Annotated[InputRefusalPart, Tag("Refusal")]
    | Annotated[InputImagePart, Tag("Image")]
    | Annotated[InputOtherPart, Tag("Other")],
    by_type(_PARTS),
]
"""A part of a message. Its type alone decides which model it has, so that errors name what is wrong with it."""


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


class CustomCallItem(OpenModel):
    """A call with a text instead of arguments, such as a patch."""

    type: Literal["custom_tool_call"]
    call_id: Name
    name: FunctionName
    input: Text


class LocalShellCallItem(OpenModel):
    """A call of the shell that OpenAI's models know."""

    type: Literal["local_shell_call"]
    call_id: Name
    action: JsonObject


class CallOutputItem(OpenModel):
    """The result of a call."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: Name
    output: Annotated[Items[InputPart] | Text, Field(union_mode="left_to_right")]


class ReasoningItem(OpenModel):
    """Thoughts of the model. Those in `encrypted_content` only OpenAI can read; they are left out."""

    type: Literal["reasoning"]
    summary: Items[InputTextPart] | None = None
    content: Items[InputTextPart] | None = None


class OtherItem(OpenModel):
    """An item of a tool that runs at OpenAI, or one that is unknown."""

    type: Name

    @property
    def is_left_out(self) -> bool:
        """Whether the conversation can be read without it."""
        return self.type in _LEFT_OUT


_ITEMS = {
    None: "Message",
    "message": "Message",
    "function_call": "Call",
    "custom_tool_call": "CustomCall",
    "local_shell_call": "LocalShellCall",
    "function_call_output": "CallOutput",
    "custom_tool_call_output": "CallOutput",
    "reasoning": "Reasoning",
}
ConversationItem = Annotated[
    Annotated[MessageItem, Tag("Message")]
    | Annotated[CallItem, Tag("Call")]
    | Annotated[CustomCallItem, Tag("CustomCall")]
    | Annotated[LocalShellCallItem, Tag("LocalShellCall")]
    | Annotated[CallOutputItem, Tag("CallOutput")]
    | Annotated[ReasoningItem, Tag("Reasoning")]
    | Annotated[OtherItem, Tag("Other")],
    by_type(_ITEMS),
]
