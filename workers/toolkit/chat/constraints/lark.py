"""Writes a grammar in llguidance's dialect of Lark, for one model's special tokens.

Source: the documents `syntax.md` and `json_schema.md` of the project guidance-ai/llguidance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from workers.toolkit.chat.constraints.grammar import Grammar

_JSON_OPTIONS = {
    # As models write JSON: nothing, a space, or a line break and an indent. A bound, because otherwise a weak model
    # may write white space for ever.
    "whitespace_pattern": r"(\x20|\n[\x20\t]{0,24})",
    # Without \u: with it, a key could be written a second time in other characters, and its value would escape its
    # schema.
    "json_allowed_escapes": 'nrbtf\\"',
}
_FREE = "FREE: /(?s:.*)/"


def write(grammar: Grammar, special_tokens: Mapping[str, int]) -> str:
    """The grammar as llguidance reads it. `special_tokens` are the model's, with their numbers."""
    return _Writer(special_tokens).write(grammar)


class _Writer:
    """Collects the rules of a grammar, each with a name of its own."""

    def __init__(self, special_tokens: Mapping[str, int]) -> None:
        self._special_tokens = special_tokens
        longest_first = sorted(special_tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._rules: dict[str, str] = {}  # name by body, so that equal rules are written once

    def write(self, grammar: Grammar) -> str:
        start = self._expression(grammar)
        return "\n".join([f"start: {start}", _FREE, *(f"{name}: {body}" for body, name in self._rules.items())])

    def _expression(self, grammar: Grammar) -> str:
        return self._combination(grammar) if grammar.parts else self._leaf(grammar)

    def _leaf(self, grammar: Grammar) -> str:
        match grammar.kind:
            case "json":
                return self._rule("json", f"%json {_with_options(grammar.content)}")
            case "pattern":
                return self._rule("PATTERN", f"/{_escape_slashes(grammar.content)}/")
            case "foreign":
                return self._foreign(grammar.content)
            case "free":
                return "FREE"
            case "until":
                return self._until(grammar.content)
        return self._text(grammar.content) if grammar.kind == "text" else _quoted(grammar.content) or '""'

    def _combination(self, grammar: Grammar) -> str:
        if grammar.kind == "before":
            end, *never = json.loads(grammar.content)
            return self._before(end, never, grammar.parts[0])
        parts = [self._expression(part) for part in grammar.parts]
        match grammar.kind:
            case "sequence":
                return f"({' '.join(parts)})"
            case "either":
                return f"({' | '.join(parts)})"
        most = "" if grammar.most is None else grammar.most
        return f"({parts[0]}){{{grammar.least},{most}}}"

    def _text(self, content: str) -> str:
        """A text, in which special tokens are given by their numbers."""
        pieces, place = [], 0
        for match in self._pattern.finditer(content):
            pieces += [_quoted(content[place : match.start()]), f"<[{self._special_tokens[match[0]]}]>"]
            place = match.end()
        pieces.append(_quoted(content[place:]))
        return " ".join(filter(None, pieces)) or '""'

    def _foreign(self, content: str) -> str:
        """A grammar within the grammar, with rules of its own."""
        from llguidance.gbnf_to_lark import any_to_lark

        return self._rule("foreign", f"%lark {{\n{any_to_lark(content)}\n}}")

    def _until(self, marker: str) -> str:
        if self._pattern.match(marker):
            return self._before(marker, [marker], Grammar("free"))  # a model may spell a special token
        plain = self._pattern.split(marker)[0]
        head = self._rule("until", f"FREE {_quoted(plain)}", "[lazy]")
        return f"{head} {self._text(marker[len(plain) :])}" if len(marker) > len(plain) else head

    def _before(self, end: str, never: Sequence[str], content: Grammar) -> str:
        """A text and its end, as one lexeme as far as the end is text: where it ends would not be certain otherwise."""
        terms = [] if content.kind == "free" else [self._terminal(content)]
        terms += [f"~(FREE {_quoted(mark)} FREE)" for mark in never]
        body = self._rule("TEXT", " & ".join(["FREE", *terms])) if terms else "FREE"
        plain = self._pattern.split(end)[0]
        rest = self._text(end[len(plain) :]) if len(end) > len(plain) else ""
        if not plain:
            return f"{body} {rest}"
        head = self._rule("before", f"{body} {_quoted(plain)}", "" if rest else "[lazy]")
        return f"{head} {rest}".rstrip()

    def _terminal(self, pattern: Grammar) -> str:
        """A pattern as the body of a terminal."""
        parts = [self._terminal(part) for part in pattern.parts]
        match pattern.kind:
            case "free":
                return "FREE"
            case "pattern":
                return f"/{_escape_slashes(pattern.content)}/"
            case "text":
                return _quoted(pattern.content) or '""'
            case "without":
                return f"~({parts[0]})"
            case "both":
                return f"({' & '.join(parts)})"
        return f"({' | '.join(parts)})"

    def _rule(self, prefix: str, body: str, attributes: str = "") -> str:
        """The name of the rule with this body, which is added if it is new."""
        if body not in self._rules:
            self._rules[body] = f"{prefix}_{len(self._rules)}{attributes}"
        return self._rules[body].removesuffix(attributes)


def _quoted(content: str) -> str:
    return json.dumps(content, ensure_ascii=False) if content else ""


def _escape_slashes(regex: str) -> str:
    return re.sub(r"(?<!\\)/", r"\\/", regex)


def _with_options(schema: str) -> str:
    parsed: Any = json.loads(schema)
    if isinstance(parsed, bool):
        parsed = {} if parsed else {"not": {}}
    return json.dumps({"x-guidance": _JSON_OPTIONS, **parsed}, ensure_ascii=False)
