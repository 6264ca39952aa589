"""Long calls in pieces: where their arguments begin, and how these are passed on while the model writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Container
from dataclasses import dataclass

LONG = 1000
"""Characters of arguments from which a call is passed on in pieces. Until then, a malformed one is text."""


@dataclass(frozen=True, slots=True)
class CallStart:
    """The beginning of a long call. Its arguments follow as pieces, then its end."""

    name: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class ArgumentsPiece:
    """A piece of the JSON of a call's arguments, as the model writes them."""

    text: str


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The end of a long call."""


def json_head(before: str, name: str = "name", arguments: str = "arguments|parameters") -> re.Pattern[str]:
    """The text in front of the arguments in a call like `{"name": …, "arguments": {…}}`; `before` is in front of it."""
    more = r'(?:"(?:id|tool_call_id|type)"\s*:\s*"[^"]*"\s*,\s*)*'
    return re.compile(
        rf'{before}\s*\[?\s*\{{\s*{more}"{name}"\s*:\s*"(?P<name>[\w.:-]+)"\s*,\s*"(?:{arguments})"\s*:\s*(?=\{{)'
    )


class JsonScanner:
    """Follows a JSON object through text, up to its end, and writes raw line breaks in strings as JSON does."""

    def __init__(self) -> None:
        self.length = 0
        """The number of characters of the object so far."""
        self.is_done = False
        self.has_failed = False
        """Whether a character came that cannot be part of JSON."""
        self.is_in_string = False
        self._is_escaped = False
        self._depth = 0

    def push(self, text: str) -> str:
        """Add text. Returns the JSON in it, which may end before the text does."""
        written = []
        for character in text:
            if self.is_done or self.has_failed:
                break
            piece = self._inside(character) if self.is_in_string else self._outside(character)
            self.length += not self.has_failed
            written.append(piece)
        return "".join(written)

    def _inside(self, character: str) -> str:
        if self._is_escaped:
            self._is_escaped = False
        elif character == "\\":
            self._is_escaped = True
        elif character == '"':
            self.is_in_string = False
        return json.dumps(character)[1:-1] if character < " " else character

    def _outside(self, character: str) -> str:
        self._depth += (character in "{[") - (character in "}]")
        self.is_in_string = character == '"'
        self.is_done = character in "}]" and self._depth <= 0
        self.has_failed = not (character in '{}[]"-+.,:_' or character.isspace() or character.isalnum())
        return "" if self.has_failed else character


class LongCall:
    """A call that is passed on in pieces. `start` is where its arguments begin in the text of its block."""

    def __init__(self, name: str, start: int, id_: str = "") -> None:
        self.beginning = CallStart(name, id_)
        self.scanner = JsonScanner()
        self._start = start

    @property
    def end(self) -> int:
        """Where the arguments end so far."""
        return self._start + self.scanner.length

    def push(self, block: str) -> str:
        """The arguments that are new in the text of the block."""
        return self.scanner.push(block[self.end :])


def find_long_call(
    head: re.Pattern[str] | None, block: str, names: Container[str], *, name: str = ""
) -> LongCall | None:
    """The call at the beginning of a block, if its arguments are long.

    `names` has those of the tools; `name` is that of the called one, if it is not in the block.
    """
    match = head.match(block) if head else None
    if match is None or len(block) - match.end() <= LONG:
        return None
    groups = match.groupdict()
    name = name or groups["name"] or groups.get("other") or ""
    scanner = JsonScanner()
    scanner.push(block[match.end() : match.end() + LONG + 1])
    is_long = scanner.length > LONG and name in names
    return LongCall(name, match.end(), groups.get("id") or "") if is_long else None
