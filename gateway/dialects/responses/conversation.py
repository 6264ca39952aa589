"""From a request of the Responses API to the task chat."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from contract.errors import UnsupportedFeature
from gateway.dialects.responses.items import (
    CallItem,
    CallOutputItem,
    CustomCallItem,
    InputImagePart,
    InputRefusalPart,
    InputTextPart,
    LocalShellCallItem,
    MessageItem,
    OtherItem,
    ReasoningItem,
)
from gateway.dialects.responses.request import InputTokensRequest, ResponseToolChoice, TextFormat

ChatTurn = dict[str, Any]
"""A message of the task chat."""
_IMAGES_FOLLOW = "The image is in the next message."
_CALLS = (CallItem, CustomCallItem, LocalShellCallItem)
_OF_ASSISTANT = (*_CALLS, ReasoningItem)
_SYSTEM = ("system", "developer")


def chat_fields(request: InputTokensRequest) -> dict[str, Any]:
    """The fields of a chat that come from the conversation, its tools, and the form of the answer."""
    turns = list(_merged(_turns(request)))
    fields: dict[str, Any] = {"model": request.model, "messages": turns}
    if functions := request.functions:
        read = {"name", "description", "parameters", "strict"}
        fields["tools"] = [
            {"type": "function", "function": tool.model_dump(include=read, exclude_none=True)} for tool in functions
        ]
        fields |= {} if request.parallel_tool_calls is None else {"parallel_tool_calls": request.parallel_tool_calls}
    fields |= _choice(request)
    if request.text and (form := request.text.format) and form.type != "text":
        fields["response_format"] = _format(form)
    return fields


def _choice(request: InputTokensRequest) -> dict[str, Any]:
    """Which tools must or may be called. Without functions, only what demands a call is passed on, and then refused."""
    choice = request.tool_choice
    if isinstance(choice, ResponseToolChoice):
        return _named(choice)
    return {"tool_choice": choice} if choice is not None and (request.functions or choice == "required") else {}


def _named(choice: ResponseToolChoice) -> dict[str, Any]:
    if choice.type == "function":
        return {"tool_choice": _reference(choice.name)}
    if choice.type != "allowed_tools":
        message = f"`tool_choice`: {choice.type} is no function. Only functions can be called here."
        raise UnsupportedFeature(message, param="tool_choice")
    names = [tool.name for tool in choice.tools or () if tool.type == "function"]
    if not names:
        return {"tool_choice": "none"}
    allowed = {"mode": choice.mode, "tools": [_reference(name) for name in names]}
    return {"tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}}


def _reference(name: str | None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def _format(form: TextFormat) -> dict[str, Any]:
    if form.type == "json_object":
        return {"type": "json_object"}
    schema = {"name": form.name or "answer", "schema": form.json_schema}
    optional = form.model_dump(include={"description", "strict"}, exclude_none=True)
    return {"type": "json_schema", "json_schema": schema | optional}


def _merged(turns: Iterable[ChatTurn]) -> Iterator[ChatTurn]:
    """The messages with one system message in front: many chat templates take no second one."""
    instructions: list[ChatTurn] = []
    for turn in turns:
        if turn["role"] in _SYSTEM:
            instructions.append(turn)
            continue
        yield from _system(instructions)
        instructions = []
        yield turn
    yield from _system(instructions)


def _system(turns: list[ChatTurn]) -> Iterator[ChatTurn]:
    if len(turns) == 1:
        yield turns[0]
    elif turns:
        parts = [part for turn in turns for part in _as_parts(turn["content"])]
        yield {"role": "system", "content": "\n\n".join(part["text"] for part in parts if part["type"] == "text")}


def _as_parts(content: str | list[ChatTurn]) -> list[ChatTurn]:
    return [_text(content)] if isinstance(content, str) else content


def _turns(request: InputTokensRequest) -> Iterator[ChatTurn]:
    """The messages. Thoughts, an answer and calls that follow each other are one message of the assistant."""
    if request.instructions:
        yield {"role": "system", "content": request.instructions}
    if isinstance(request.input, str):
        yield {"role": "user", "content": request.input}
        return
    assistant: list[Any] = []
    for item in request.input:
        if isinstance(item, OtherItem) and item.is_left_out:
            continue
        if isinstance(item, _OF_ASSISTANT) or (isinstance(item, MessageItem) and item.role == "assistant"):
            assistant.append(item)
            continue
        yield from _assistant(assistant)
        assistant = []
        if isinstance(item, MessageItem):
            yield {"role": item.role, "content": _content(item.content)}
        elif isinstance(item, CallOutputItem):
            yield from _result(item)
        else:
            raise _unsupported(f"items of type {item.type!r}; send messages, or calls and results of functions")
    yield from _assistant(assistant)


def _assistant(items: list[Any]) -> Iterator[ChatTurn]:
    if not items:
        return
    texts = [part for item in items if isinstance(item, MessageItem) for part in _parts(item.content)]
    thoughts = [
        part.text for item in items if isinstance(item, ReasoningItem) for part in item.content or item.summary or ()
    ]
    calls = [_call(item) for item in items if isinstance(item, _CALLS)]
    if not (texts or thoughts or calls):  # a thought that only OpenAI can read
        return
    turn: ChatTurn = {"role": "assistant", "content": _joined(texts) if texts else None}
    turn |= {"reasoning_content": "\n".join(thoughts)} if thoughts else {}
    yield turn | ({"tool_calls": calls} if calls else {})


def _call(item: CallItem | CustomCallItem | LocalShellCallItem) -> ChatTurn:
    """A call as one of a function: a text becomes the argument `input`."""
    if isinstance(item, CallItem):
        function = {"name": item.name, "arguments": item.arguments}
    elif isinstance(item, CustomCallItem):
        function = {"name": item.name, "arguments": json.dumps({"input": item.input}, ensure_ascii=False)}
    else:
        function = {"name": "local_shell", "arguments": json.dumps(item.action, ensure_ascii=False)}
    return {"id": item.call_id, "type": "function", "function": function}


def _result(item: CallOutputItem) -> Iterator[ChatTurn]:
    """The result of a call. Its images come in a message of the user: chat templates take only text as a result."""
    parts = _parts(item.output)
    images = [part for part in parts if part["type"] == "image_url"]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    yield {"role": "tool", "tool_call_id": item.call_id, "content": text or (_IMAGES_FOLLOW if images else "")}
    if images:
        yield {"role": "user", "content": images}


def _content(content: str | list[Any]) -> str | list[ChatTurn]:
    return content if isinstance(content, str) else _joined(_parts(content))


def _joined(parts: list[ChatTurn]) -> str | list[ChatTurn]:
    """A message's content: plain text if it is one text."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _parts(content: str | list[Any]) -> list[ChatTurn]:
    return [_text(content)] if isinstance(content, str) else [_part(part) for part in content]


def _part(part: Any) -> ChatTurn:
    """The part of a chat for a part of a message. Raises UnsupportedFeature for what no model here reads."""
    if isinstance(part, InputTextPart):
        return _text(part.text)
    if isinstance(part, InputRefusalPart):
        return _text(part.refusal)
    if isinstance(part, InputImagePart) and part.image_url is not None:
        return {"type": "image_url", "image_url": {"url": part.image_url}}
    if isinstance(part, InputImagePart):
        raise _unsupported("images by `file_id`; send them as `image_url`, an address or a data URL")
    raise _unsupported(f"parts of type {part.type!r}; send text or images")


def _text(text: str) -> ChatTurn:
    return {"type": "text", "text": text}


def _unsupported(what: str) -> UnsupportedFeature:
    return UnsupportedFeature(f"`input`: Enginehouse does not read {what}.", param="input")
