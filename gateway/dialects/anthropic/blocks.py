"""The blocks of which the messages of Anthropic's API consist.

Source: platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from contract.limits import Items, Name, Text
from contract.media import ImageInput
from contract.tasks.chat.open_model import JsonObject, OpenModel, by_type


class TextBlock(OpenModel):
    type: Literal["text"] = "text"
    text: Text


class ImageBlockSource(OpenModel):
    """An image: base64 as `data`, or a `url`. Other types, such as `file`, are kept for the error that names them."""

    type: Name
    media_type: Name | None = None
    data: ImageInput | None = None
    url: ImageInput | None = None

    @property
    def image(self) -> ImageInput | None:
        return {"base64": self.data, "url": self.url}.get(self.type)


class ImageBlock(OpenModel):
    type: Literal["image"] = "image"
    source: ImageBlockSource


class DocumentSource(OpenModel):
    """A document: plain text as `data`, or blocks as `content`. Other types are kept for the error that names them."""

    type: Name
    data: Text | None = None
    content: Annotated[Items[TextBlock | ImageBlock] | Text | None, Field(union_mode="left_to_right")] = None


class DocumentBlock(OpenModel):
    type: Literal["document"] = "document"
    source: DocumentSource
    title: Text | None = None
    context: Text | None = None


class SearchResultBlock(OpenModel):
    type: Literal["search_result"] = "search_result"
    source: Text
    title: Text
    content: Items[TextBlock]


class ThinkingBlock(OpenModel):
    type: Literal["thinking"] = "thinking"
    thinking: Text
    signature: Text | None = None


class RedactedThinkingBlock(OpenModel):
    """Thoughts that only Anthropic can read."""

    type: Literal["redacted_thinking"] = "redacted_thinking"


class ToolUseBlock(OpenModel):
    type: Literal["tool_use"] = "tool_use"
    id: Name
    name: Name
    input: JsonObject


class OtherBlock(OpenModel):
    """A block of a type that only Anthropic's own service has, kept for the error that names it."""

    type: Name


_IN_RESULTS = {"text": "Text", "image": "Image", "document": "Document", "search_result": "SearchResult"}
_IN_MESSAGES = {
    **_IN_RESULTS,
    "thinking": "Thinking",
    "redacted_thinking": "RedactedThinking",
    "tool_use": "ToolUse",
    "tool_result": "ToolResult",
}

ResultBlock = Annotated[
    Annotated[TextBlock, Tag("Text")]
    | Annotated[ImageBlock, Tag("Image")]
    | Annotated[DocumentBlock, Tag("Document")]
    | Annotated[SearchResultBlock, Tag("SearchResult")]
    | Annotated[OtherBlock, Tag("Other")],
    by_type(_IN_RESULTS),
]
"""What the result of a tool consists of."""


class ToolResultBlock(OpenModel):
    type: Literal["tool_result"] = "tool_result"
    tool_use_id: Name
    # The list comes first: trying it as text would copy the images in it.
    content: Annotated[Items[ResultBlock] | Text | None, Field(union_mode="left_to_right")] = None
    is_error: bool = False


Block = Annotated[
    Annotated[TextBlock, Tag("Text")]
    | Annotated[ImageBlock, Tag("Image")]
    | Annotated[DocumentBlock, Tag("Document")]
    | Annotated[SearchResultBlock, Tag("SearchResult")]
    | Annotated[ThinkingBlock, Tag("Thinking")]
    | Annotated[RedactedThinkingBlock, Tag("RedactedThinking")]
    | Annotated[ToolUseBlock, Tag("ToolUse")]
    | Annotated[ToolResultBlock, Tag("ToolResult")]
    | Annotated[OtherBlock, Tag("Other")],
    by_type(_IN_MESSAGES),
]
"""What a message consists of."""
