"""Writes the turns of a conversation in the form that a model's chat template takes: calls, their results, thoughts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.errors import BadRequest, UnsupportedFeature
from contract.tasks.chat import CalledFunction, Message
from workers.toolkit.chat.conversation import Conversation, role_of
from workers.toolkit.chat.reasoning_formats import ReasoningFormat
from workers.toolkit.chat.template_probe import TurnForms, mentions_field
from workers.toolkit.chat.tool_formats.base import ToolFormat, WrittenCall

_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""The names under which templates read the thoughts of an earlier turn."""


@dataclass(frozen=True, slots=True)
class _KnownCall:
    """The function that a call called, and its id as the template gets it."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Turns:
    """Writes turns for one template. `forms` is None if it has no place for calls and their results."""

    template: str
    forms: TurnForms | None = None
    thoughts: ReasoningFormat | None = None
    tools: ToolFormat | None = None
    _thought_fields: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        fields = tuple(name for name in _THOUGHT_FIELDS if mentions_field(self.template, name))
        object.__setattr__(self, "_thought_fields", fields)

    def write(self, messages: Sequence[Message], content_of: Callable[[Message], Any]) -> Conversation:
        """The conversation; `content_of` is a message's content, as text or as parts."""
        names: dict[str, _KnownCall] = {}  # the calls so far, by the ids that the client knows
        turns: Conversation = []
        for message in messages:
            if message.role in {"tool", "function"}:
                turns.append(self._result(message, content_of(message), names))
            elif message.role == "assistant":
                turns.append(self._assistant(message, content_of(message), names))
            else:
                turns.append({"role": role_of(message, self.template), "content": content_of(message)})
        return list(_one_call_a_turn(turns)) if self.forms and self.forms.one_call_a_turn else turns

    def _assistant(self, message: Message, content: Any, names: dict[str, _KnownCall]) -> dict[str, Any]:
        thoughts, content = self._apart(message.thoughts, content)
        turn = {"role": "assistant", "content": content}
        turn |= dict.fromkeys(self._thought_fields, thoughts) if thoughts else {}
        if not message.calls:
            return turn
        written = [
            self._call(call.id or f"call_{number}", call.function, names)
            for number, call in enumerate(message.calls)
            if call.function
        ]
        if self._forms.calls_are_text and self.tools:
            functions = [call["function"] for call in written]
            calls = self.tools.write([WrittenCall(call["name"], call["arguments"]) for call in functions])
            return {**turn, "content": f"{content or ''}{calls}"}
        if (content or thoughts) and mentions_field(self.template, "tool_plan"):
            turn["tool_plan"] = content or thoughts  # Cohere's name for the text before calls
        return {**turn, "content": content or self._forms.empty_content, "tool_calls": written}

    def _call(self, call_id: str, function: CalledFunction, names: dict[str, _KnownCall]) -> dict[str, Any]:
        names[call_id] = _KnownCall(function.name, self._id(call_id, function.name, len(names)))
        arguments = function.arguments
        if self._forms.arguments_are_text:
            arguments = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        elif isinstance(arguments, str):
            arguments = _parsed(arguments, function.name)
        written = {"name": function.name, "arguments": arguments}
        return {"id": names[call_id].id, "type": "function", "function": written}

    def _result(self, message: Message, content: Any, names: Mapping[str, _KnownCall]) -> dict[str, Any]:
        call_id = message.tool_call_id or f"call_{message.name}"
        if isinstance(content, list) and not self._forms.content_is_parts:
            if any("text" not in part for part in content):
                raise UnsupportedFeature(
                    "This model's chat template takes only text as the result of a tool. Send images in a message of "
                    "the user.",
                    param="messages",
                )
            content = "\n".join(part["text"] for part in content)
        known = names.get(call_id) or _KnownCall(message.name or "", self._id(call_id, message.name or "", len(names)))
        turn = {"role": "tool", "tool_call_id": known.id, "content": content}
        name = message.name or known.name
        return {**turn, "name": name} if name else turn

    @property
    def _forms(self) -> TurnForms:
        return self.forms or TurnForms()

    @property
    def id_length(self) -> int | None:
        """The length of call ids, if the chat template prescribes one."""
        return self.tools.id_length if self.tools else None

    def _id(self, call_id: str, name: str, number: int) -> str:
        """The id of a call of a function. A template that reads something in ids, or prescribes a length, gets others'
        ids rewritten, always to the same."""
        if self._forms.ids_have_names:
            return call_id if f".{name}:" in call_id else f"functions.{name}:{number}"
        if self.id_length is None or (len(call_id) == self.id_length and call_id.isalnum()):
            return call_id
        return hashlib.sha256(call_id.encode()).hexdigest()[: self.id_length]

    def _apart(self, thoughts: str, content: Any) -> tuple[str, Any]:
        """Thoughts and content, if a client has left the thoughts of an earlier answer in its text."""
        written = self.thoughts
        if written is None or not isinstance(content, str) or not content.lstrip().startswith(written.begin.rstrip()):
            return thoughts, content
        inner, mark, rest = content.lstrip().removeprefix(written.begin.rstrip()).partition(written.end)
        return (thoughts or inner.strip(), rest.lstrip()) if mark else (thoughts, content)


def _parsed(arguments: str, name: str) -> dict[str, Any]:
    """Arguments as an object. Raises BadRequest if they are no JSON object."""
    try:
        parsed = json.loads(arguments or "{}")
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise BadRequest(
            f"The arguments of an earlier call of {name!r} are not a JSON object, which this model's chat template "
            f'needs: {arguments[:200]!r}. Send them as JSON text, such as "{{}}".',
            param="messages",
        )
    return parsed


def _one_call_a_turn(turns: Conversation) -> Iterator[dict[str, Any]]:
    """The turns, where each turn with several calls becomes several, each followed by its result."""
    results = {turn["tool_call_id"]: turn for turn in turns if turn["role"] == "tool"}
    moved: set[str] = set()
    for turn in turns:
        calls = turn.get("tool_calls", ())
        if len(calls) < 2:
            if turn.get("tool_call_id") not in moved:
                yield turn
            continue
        for number, call in enumerate(calls):
            yield {**turn, "tool_calls": [call]} if number == 0 else {**turn, "content": "", "tool_calls": [call]}
            if (result := results.get(call["id"])) and call["id"] not in moved:
                moved.add(call["id"])
                yield result
