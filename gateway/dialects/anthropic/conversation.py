"""Turns a conversation of Anthropic's API into one of the task chat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from contract.errors import InvalidField, UnsupportedFeature
from gateway.dialects.anthropic.blocks import (
    DocumentBlock,
    ImageBlock,
    OtherBlock,
    RedactedThinkingBlock,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from gateway.dialects.anthropic.request import CountTokensRequest, ToolSelection

Turn = dict[str, Any]
"""A message of the task chat."""
_IMAGES_FOLLOW = "The image is in the next message."
_MODES = {"auto": "auto", "any": "required", "none": "none"}


def chat_fields(request: CountTokensRequest) -> dict[str, Any]:
    """The fields of a chat that come from the conversation, its tools, and the form of the answer."""
    turns = list(_turns(request))
    if len(turns) == bool(request.system):
        raise InvalidField(
            "`messages`: every message is empty; send text, images or results of tools.", param="messages"
        )
    fields: dict[str, Any] = {"model": request.model, "messages": turns}
    if turns[-1]["role"] == "assistant":  # the answer continues the client's beginning of it
        fields |= {"continue_final_message": True}
    if functions := request.functions:
        fields["tools"] = [
            {"type": "function", "function": {"name": tool.name, "parameters": tool.input_schema, **optional}}
            for tool in functions
            for optional in [tool.model_dump(include={"description", "strict"}, exclude_none=True)]
        ]
    if functions or not request.tools:  # tools that were all left out cannot be chosen, as their warning says
        fields |= _choice(request.tool_choice)
    form = request.output_format or (request.output_config and request.output_config.format)
    if form:
        schema = {"name": "answer", "schema": form.json_schema, "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    return fields


def _choice(choice: ToolSelection | None) -> dict[str, Any]:
    if choice is None:
        return {}
    named = {"type": "function", "function": {"name": choice.name}}
    fields: dict[str, Any] = {"tool_choice": named if choice.type == "tool" else _MODES[choice.type]}
    return fields | ({"parallel_tool_calls": False} if choice.disable_parallel_tool_use else {})


def _turns(request: CountTokensRequest) -> Iterator[Turn]:
    """The messages. Several of one role in a row are one, as in Anthropic's API."""
    if request.system:
        yield {"role": "system", "content": _content(_blocks(request.system))}
    for role, messages in groupby(request.messages, key=lambda message: message.role):
        blocks = [block for message in messages for block in _blocks(message.content)]
        if role == "assistant":
            yield _assistant(blocks)
        elif role == "system":
            yield {"role": "system", "content": _content(blocks)}
        else:
            yield from _user(blocks)


def _blocks(content: str | list[Any]) -> list[Any]:
    return [TextBlock(text=content)] if isinstance(content, str) else content


def _assistant(blocks: Iterable[Any]) -> Turn:
    texts: list[Any] = []
    thoughts: list[str] = []
    calls: list[Turn] = []
    for block in blocks:
        if isinstance(block, ToolUseBlock):
            function = {"name": block.name, "arguments": block.input}
            calls.append({"id": block.id, "type": "function", "function": function})
        elif isinstance(block, ThinkingBlock):
            thoughts.append(block.thinking)
        elif not isinstance(block, RedactedThinkingBlock):
            texts.append(block)
    turn: Turn = {"role": "assistant", "content": _content(texts) if texts else None}
    turn |= {"reasoning_content": "\n".join(thoughts)} if thoughts else {}
    return turn | ({"tool_calls": calls} if calls else {})


def _user(blocks: Iterable[Any]) -> Iterator[Turn]:
    """The results of tools, then what the user says.

    Images in results come in the user's message: chat templates take only text as the result of a tool.
    """
    said: list[Any] = []
    images: list[Any] = []
    for block in blocks:
        if isinstance(block, ToolResultBlock):
            parts = _parts(_blocks(block.content or ""))
            shown = [part for part in parts if part["type"] == "image_url"]
            text = "\n".join(part["text"] for part in parts if part["type"] == "text" and part["text"])
            images += shown
            text = text or (_IMAGES_FOLLOW if shown else "")
            yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": _marked(text, block.is_error)}
        else:
            said.append(block)
    if images:
        yield {"role": "user", "content": images + _parts(said)}
    elif said:
        yield {"role": "user", "content": _content(said)}


def _marked(text: str, is_error: bool) -> str:
    """The result of a tool; chat templates have no other place that says that it failed."""
    return f"Error: {text}" if is_error and not text.lower().startswith("error") else text


def _content(blocks: list[Any]) -> str | list[Turn]:
    """A message's content: plain text if it is one text."""
    parts = _parts(blocks)
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _parts(blocks: Iterable[Any]) -> list[Turn]:
    return [part for block in blocks for part in _parts_of(block)]


def _parts_of(block: Any) -> list[Turn]:
    """The parts of a chat for a block. Raises UnsupportedFeature for what no model here reads."""
    if isinstance(block, TextBlock):
        return [_text(block.text)]
    if isinstance(block, ImageBlock):
        if block.source.image is None:
            raise _unsupported(f"images with a source of type {block.source.type!r}; send base64 or a url")
        return [{"type": "image_url", "image_url": {"url": block.source.image}}]
    if isinstance(block, SearchResultBlock):
        return [_text("\n".join([block.title, block.source, *(text.text for text in block.content)]))]
    if isinstance(block, DocumentBlock):
        return _document(block)
    assert isinstance(block, OtherBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock | ToolResultBlock)
    raise _unsupported(f"blocks of type {block.type!r} here; send text, images, or calls and results of tools")


def _document(block: DocumentBlock) -> list[Turn]:
    source = block.source
    heading = [_text(text) for text in (block.title, block.context) if text]
    if source.type == "text" and source.data is not None:
        return [*heading, _text(source.data)]
    if source.type == "content" and source.content is not None:
        return [*heading, *_parts(_blocks(source.content))]
    raise _unsupported(f"documents with a source of type {source.type!r}; send their text, or their pages as images")


def _text(text: str) -> Turn:
    return {"type": "text", "text": text}


def _unsupported(what: str) -> UnsupportedFeature:
    return UnsupportedFeature(f"`messages`: Enginehouse does not read {what}.", param="messages")
