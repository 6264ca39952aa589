"""Finds out what a chat template can do, by rendering conversations about a made-up tool."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workers.toolkit.chat.tool_formats.held_calls import Schemas

Render = Callable[..., str]
"""Renders a conversation with a model's chat template; keywords, such as `tools`, reach the template."""

_NAME, _VALUE, _RESULT, _ID = "enginehouse_probe", "probed value", "probed result", "abcde1234"
_TOOL: dict[str, Any] = {
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

_TOOL_VARIABLES = ("tools", "xml_tools")
"""Variables by which templates show tools to the model. SmolLM3 has the second."""
_NEAR = 32
"""Characters of the prompt that may belong to a call which the template writes like the beginning of an answer."""


@dataclass(frozen=True, slots=True)
class TurnForms:
    """The forms in which a chat template wants the turns of tools."""

    arguments_are_text: bool = False  # JSON text instead of an object
    empty_content: str | None = ""  # the content of an assistant's turn that has only calls
    content_is_parts: bool = False  # a list of parts instead of text
    one_call_a_turn: bool = False  # several calls in one turn are refused
    ids_have_names: bool = False  # the id is all that is written of a call's name: `functions.name:0`
    calls_are_text: bool = False  # calls have no place of their own, so they are part of the content


class TemplateProbe:
    """A chat template, tried with a made-up tool. `user` is the content of a user's turn."""

    def __init__(self, render: Render, user: Any) -> None:
        self._render, self._user = render, user
        self._question = [{"role": "user", "content": user}]
        self.schemas: Schemas = {_NAME: _TOOL["function"]["parameters"]}
        """The made-up tool."""
        self.refusal = ""
        """What the template last said when it refused a conversation."""
        plain = self._rendered(self._question)
        shown = (name for name in _TOOL_VARIABLES if _NAME in self._rendered(self._question, **{name: [_TOOL]}))
        self.tools_variable = None if _NAME in plain else next(shown, None)
        """The variable by which the template shows tools to the model; None if it shows none."""

    def turn_forms(self) -> TurnForms | None:
        """The forms in which the template writes calls and their results completely; None if it does in none."""
        parts = (False, True) if isinstance(self._user, list) else (False,)
        for ids, in_parts, as_text, empty in itertools.product((False, True), parts, (False, True), ("", None)):
            forms = TurnForms(as_text, empty, in_parts, ids_have_names=ids)
            if self._is_complete(forms, 1):
                return replace(forms, one_call_a_turn=not self._is_complete(forms, 2))
        return None

    def shows_results(self) -> bool:
        """Whether the template writes the result of a call, and the content before it as it is."""
        turns = [*self._question, {"role": "assistant", "content": _VALUE}]
        text = self._with_tools([*turns, {"role": "tool", "tool_call_id": _ID, "name": _NAME, "content": _RESULT}])
        return _VALUE in text and _RESULT in text

    def written_call(self, forms: TurnForms) -> tuple[str, str]:
        """An assistant's turn with a call, as the template writes it, and the end of the prompt before it."""
        prompt, text = self._with_tools(self._question), self._with_tools(self._conversation(forms, 1))
        pairs = enumerate(zip(prompt, text, strict=False))
        same = next((place for place, (one, other) in pairs if one != other), min(len(prompt), len(text)))
        return text[same:], text[max(0, same - _NEAR) : same]

    def is_read(self, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> bool:
        """Whether the call that the template wrote is among the calls that were read."""
        return (_NAME, {"probed_key": _VALUE}) in calls

    def _is_complete(self, forms: TurnForms, calls: int) -> bool:
        """Whether the template writes the calls and results, and neither a `None` nor JSON inside JSON."""
        text, prompt = self._with_tools(self._conversation(forms, calls)), self._with_tools(self._question)
        is_plain = '\\"probed_key' not in text and text.count("None") <= prompt.count("None")
        return is_plain and all(text.count(word) >= prompt.count(word) + calls for word in (_NAME, _VALUE, _RESULT))

    def _with_tools(self, conversation: list[dict[str, Any]]) -> str:
        return self._rendered(conversation, **{self.tools_variable or "tools": [_TOOL]})

    def _rendered(self, conversation: list[dict[str, Any]], **keywords: Any) -> str:
        """The rendered conversation; empty if the template refuses it, in whichever way templates fail."""
        try:
            return self._render(conversation, **keywords)
        except Exception as error:
            self.refusal = str(error).partition("\n")[0][:200]
            return ""

    def _conversation(self, forms: TurnForms, calls: int) -> list[dict[str, Any]]:
        """A question, an assistant's turn with calls, and their results."""
        arguments: Any = '{"probed_key": "' + _VALUE + '"}' if forms.arguments_are_text else {"probed_key": _VALUE}
        ids = [f"functions.{_NAME}:{n}" if forms.ids_have_names else f"{_ID[:-1]}{n}" for n in range(calls)]
        written = [{"id": id_, "type": "function", "function": {"name": _NAME, "arguments": arguments}} for id_ in ids]
        result: Any = [{"type": "text", "text": _RESULT}] if forms.content_is_parts else _RESULT
        results = [{"role": "tool", "tool_call_id": id_, "name": _NAME, "content": result} for id_ in ids]
        return [*self._question, {"role": "assistant", "content": forms.empty_content, "tool_calls": written}, *results]


def knows(template: str, variable: str) -> bool:
    """Whether a template reads a variable of this name, which may be given in `chat_template_kwargs`."""
    return re.search(rf"(?<![\w.'\"]){variable}\b(?!['\"])", template) is not None


def mentions_field(template: str, field: str) -> bool:
    """Whether a template reads this field of a message."""
    return re.search(rf"\.{field}\b|\[['\"]{field}['\"]\]|['\"]{field}['\"] (?:not )?in ", template) is not None
