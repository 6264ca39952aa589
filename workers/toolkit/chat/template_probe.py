"""Finds out what a chat template can do, by rendering conversations about a made-up tool."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Render = Callable[..., str]
"""Renders a conversation with a model's chat template; keywords, such as `tools`, reach the template."""

_NAME, _VALUE, _RESULT, _ID = "enginehouse_probe", "probed value", "probed result", "abcde1234"
_TOOL = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "Looks.",
        "parameters": {
            "type": "object",
            "properties": {"probed_key": {"type": "string", "description": "Where."}},
            "required": ["probed_key"],
        },
    },
}


@dataclass(frozen=True, slots=True)
class TurnForms:
    """The forms in which a chat template wants the turns of tools."""

    arguments_are_text: bool = False  # JSON text instead of an object
    empty_content: str | None = ""  # the content of an assistant's turn that has only calls
    content_is_parts: bool = False  # a list of parts instead of text
    one_call_a_turn: bool = False  # several calls in one turn are refused


def offers_tools(render: Render, user: Any) -> bool:
    """Whether the template shows tools to the model. `user` is the content of a user's turn."""
    conversation = [{"role": "user", "content": user}]
    return _NAME in _rendered(render, conversation, tools=[_TOOL]) and _NAME not in _rendered(render, conversation)


def find_turn_forms(render: Render, user: Any) -> TurnForms | None:
    """The forms in which the template writes calls and their results completely; None if it does in none."""
    for content_is_parts in (False, True) if isinstance(user, list) else (False,):
        for arguments_are_text in (False, True):
            for empty in ("", None):
                forms = TurnForms(arguments_are_text, empty, content_is_parts)
                if _is_complete(_rendered(render, _turns(forms, user, 1), tools=[_TOOL])):
                    two = _rendered(render, _turns(forms, user, 2), tools=[_TOOL])
                    return TurnForms(arguments_are_text, empty, content_is_parts, not _is_complete(two))
    return None


def knows(template: str, variable: str) -> bool:
    """Whether a template reads a variable of this name, which may be given in `chat_template_kwargs`."""
    return re.search(rf"(?<![\w.'\"]){variable}\b(?!['\"])", template) is not None


def mentions_field(template: str, field: str) -> bool:
    """Whether a template reads this field of a message."""
    return re.search(rf"\.{field}\b|\[['\"]{field}['\"]\]|['\"]{field}['\"] (?:not )?in ", template) is not None


def _turns(forms: TurnForms, user: Any, calls: int) -> list[dict[str, Any]]:
    """A question, an assistant's turn with calls, and their results."""
    arguments: Any = '{"probed_key": "' + _VALUE + '"}' if forms.arguments_are_text else {"probed_key": _VALUE}
    ids = [f"{_ID[:-1]}{number}" for number in range(calls)]
    written = [{"id": id_, "type": "function", "function": {"name": _NAME, "arguments": arguments}} for id_ in ids]
    result: Any = [{"type": "text", "text": _RESULT}] if forms.content_is_parts else _RESULT
    results = [{"role": "tool", "tool_call_id": id_, "name": _NAME, "content": result} for id_ in ids]
    assistant = {"role": "assistant", "content": forms.empty_content, "tool_calls": written}
    return [{"role": "user", "content": user}, assistant, *results]


def _is_complete(text: str) -> bool:
    """Whether the text has the call and its result, and neither a `None` nor JSON inside JSON."""
    is_plain = '\\"probed_key' not in text and "None" not in text
    return is_plain and all(word in text for word in (_NAME, _VALUE, _RESULT))


def _rendered(render: Render, conversation: list[dict[str, Any]], **keywords: Any) -> str:
    """The rendered conversation; empty if the template refuses it, in whichever way templates fail."""
    try:
        return render(conversation, **keywords)
    except Exception:
        return ""
