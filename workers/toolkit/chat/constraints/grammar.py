"""The building blocks of grammars, which say what an answer may look like.

A grammar is a value: it can be compared, combined and used as a key. It knows no tokenizer. `text` may contain markers
that are special tokens of some models; they are found when the grammar is written for a model (`lark`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "text", "literal", "json", "pattern", "foreign", "free", "until", "before", "both", "without", "sequence", "either",
    "repeated",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grammar:
    """A node of a grammar. Use the functions of this module to make one."""

    kind: Kind
    content: str = ""
    parts: tuple[Grammar, ...] = ()
    least: int = 1
    most: int | None = 1

    @property
    def characters(self) -> int:
        """The number of characters in it."""
        return len(self.content) + sum(part.characters for part in self.parts)


def text(content: str) -> Grammar:
    """Exactly this text. What is a special token of the model in it is matched by that token."""
    return Grammar("text", content)


def literal(content: str) -> Grammar:
    """Exactly these characters, even if they are the name of a special token."""
    return Grammar("literal", content)


def json_value(schema: dict[str, Any] | bool) -> Grammar:
    """A JSON value that fits a JSON Schema that `schemas.prepare` has returned; `True` is any value."""
    return Grammar("json", json.dumps(schema, ensure_ascii=False))


def pattern(regex: str) -> Grammar:
    """Text that a regular expression matches as a whole (syntax of Rust's regex, without lookaround)."""
    return Grammar("pattern", regex)


def foreign(content: str) -> Grammar:
    """What a grammar of another server describes: GBNF as llama.cpp has it, or llguidance's Lark."""
    return Grammar("foreign", content)


def free_text() -> Grammar:
    """Any text, the empty one included, without special tokens. Only the end of the answer can follow it."""
    return Grammar("free")


def until(marker: str) -> Grammar:
    """Any text up to and including the first occurrence of a marker, which may be a special token."""
    return Grammar("until", marker)


def both(*patterns: Grammar) -> Grammar:
    """Text that fits all of several patterns. A pattern is made by `text`, `pattern`, `free_text`, `either`, `without`
    and this."""
    return Grammar("both", parts=patterns)


def without(pattern: Grammar) -> Grammar:
    """Any text that does not fit a pattern."""
    return Grammar("without", parts=(pattern,))


def before(end: str, content: Grammar, *, never: Sequence[str] = ()) -> Grammar:
    """Text that fits a pattern, followed by `end`, which may be a special token. The text has none of `never` in it.

    Special tokens cannot be part of the text, but the characters of their names can.
    """
    return Grammar("before", json.dumps([end, *never], ensure_ascii=False), (content,))


def sequence(*parts: Grammar) -> Grammar:
    """The parts, one after another."""
    return Grammar("sequence", parts=parts)


def either(*options: Grammar) -> Grammar:
    """One of the options."""
    return Grammar("either", parts=options)


def repeated(part: Grammar, *, least: int = 1, most: int | None = None, separator: Grammar | None = None) -> Grammar:
    """The part several times; without `most`, any number of times. `separator` comes between two of them."""
    if separator is None:
        return Grammar("repeated", parts=(part,), least=least, most=most)
    rest = repeated(sequence(separator, part), least=max(least - 1, 0), most=None if most is None else most - 1)
    several = sequence(part, rest)
    return several if least else optional(several)


def optional(part: Grammar) -> Grammar:
    """The part or nothing."""
    return Grammar("repeated", parts=(part,), least=0, most=1)


def calls_in_text(marker: str, after_marker: Grammar, *, only_one: bool = False) -> Grammar:
    """Free text, in which each marker begins a call that continues with `after_marker` (`tool_choice: auto`).

    The model may answer without a call. `only_one`: the answer ends after its first call.
    """
    call = sequence(until(marker), after_marker)
    return either(free_text(), call) if only_one else sequence(repeated(call, least=0), free_text())


def after_thoughts(end: str, answer: Grammar, begin: str | None = None) -> Grammar:
    """Thoughts that end with the marker `end`, then up to four white-space characters and the answer.

    `begin`: the marker with which the model may begin them. None if the prompt ends with it already, so that the answer
    always begins within thoughts; otherwise the model may also answer without thoughts.
    """
    thoughts = sequence(until(end), pattern(r"\s{0,4}"))
    return sequence(thoughts, answer) if begin is None else sequence(optional(sequence(text(begin), thoughts)), answer)
