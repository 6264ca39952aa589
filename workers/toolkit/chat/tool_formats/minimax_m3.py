"""Calls of MiniMax M3: tags behind a mark of their own, named after the arguments, and nested for objects and lists.

Source: the chat template on the model's card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.constraints.grammar import Grammar
from workers.toolkit.chat.tool_formats.base import (
    CallReading,
    Cursor,
    MalformedCall,
    ToolFormat,
    WrittenCall,
    calls_between,
)
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, UnwritableCall, arguments_in, listed
from workers.toolkit.chat.tool_formats.schema_parts import UnwritableSchema, declared_types, resolved
from workers.toolkit.chat.tool_formats.typed_text import held_value, loosened, read_value, schema_of

_MARK = "]<]minimax[>["
_CALLS, _CALLS_END = f"{_MARK}<tool_call>", f"{_MARK}</tool_call>"
_INVOKE, _INVOKE_END = f'{_MARK}<invoke name="', f"{_MARK}</invoke>"
_TAG, _ITEM = f"{_MARK}<", f"{_MARK}<item>"
_NESTED = ("object", "array")
_NAME = re.compile(r"[^\s<>/\"\]\[]+")
_MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class MinimaxNested(ToolFormat):
    """`<invoke name="…">` with an element for each argument, all inside an outer tag."""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.expect(_CALLS)
        return calls_between(cursor, _INVOKE, _CALLS_END, _read_call)

    def form(self, held: HeldTools) -> CallForm | None:
        calls = [
            g.sequence(g.text(f'{_INVOKE}{tool}">'), _ElementWriter(tool, held).arguments(held.schemas[tool]))
            for tool in held.schemas
        ]
        call = g.sequence(g.either(*calls), g.text(f"{_INVOKE_END}\n"))
        return CallForm(_CALLS, g.sequence(g.text("\n"), listed(call, "", several=held.several), g.text(_CALLS_END)))


def _read_call(cursor: Cursor) -> WrittenCall:
    name = cursor.until('">')
    root = cursor.schemas.get(name, {})
    return WrittenCall(name, _read_object(cursor, _INVOKE_END, root, root))


def _read_object(cursor: Cursor, end: str, node: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The elements up to the `end`, each with its value."""
    values: dict[str, Any] = {}
    while not cursor.take(end):
        cursor.expect(_TAG)
        key = cursor.until(">")
        if not _NAME.fullmatch(key):
            raise MalformedCall("no name")
        values[key] = _read_element(cursor, f"{_MARK}</{key}>", schema_of({**root, **node}, key), root)
    return values


def _read_element(cursor: Cursor, end: str, schema: Any, root: Mapping[str, Any]) -> Any:
    """The value in an element, up to its `end`: a list, an object, or text."""
    node = resolved(schema, root)
    kinds = {kind for kind, _ in _options(node, root)}
    start = cursor.at
    if cursor.take(_ITEM):
        cursor.at = start
        items = []
        while not cursor.take(end):
            cursor.expect(_ITEM)
            items.append(_read_element(cursor, f"{_MARK}</item>", _of(node, root, "array").get("items", True), root))
        return items
    cursor.at = start
    if cursor.take(end):
        return [] if kinds == {"array"} else {} if kinds == {"object"} else ""
    if cursor.take(_TAG):
        cursor.at = start
        return _read_object(cursor, end, _of(node, root, "object"), root)
    cursor.at = start
    return read_value(cursor, end, {**root, "properties": {"value": schema}}, "value")


def _options(node: Mapping[str, Any], root: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The kinds of values that a schema allows, each with its part of the schema: objects, lists, and the rest."""
    if "anyOf" in node:
        return [option for part in node["anyOf"] for option in _options(resolved(part, root), root)]
    if "type" not in node:
        return [("rest", node)]
    types = declared_types(node)
    rest = [kind for kind in types if kind not in _NESTED]
    nested: list[tuple[str, Mapping[str, Any]]] = [(kind, {**node, "type": kind}) for kind in types if kind in _NESTED]
    return [*nested, *([("rest", {**node, "type": rest})] if rest else [])]


def _of(node: Mapping[str, Any], root: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The part of a schema that allows one kind of value."""
    return next((part for name, part in _options(node, root) if name == kind), {})


class _ElementWriter:
    """Writes the grammar of the arguments of one tool."""

    def __init__(self, tool: str, held: HeldTools) -> None:
        self._tool, self._held, self._root = tool, held, held.schemas[tool]

    def arguments(self, node: Any, depth: int = 0) -> Grammar:
        """An element for each property of an object."""
        if depth > _MAX_DEPTH:
            raise UnwritableCall(f"the schema of {self._tool!r} is recursive, or too deep for this form of calls")
        named = arguments_in(resolved(node, self._root), self._tool, self._held, "of its parameters")
        if named.free is not None:
            raise UnwritableCall(f"the schema of {self._tool!r} does not name all that it allows")
        return named.written(lambda item: self._element(item.name, item.schema, depth) if item else g.text(""))

    def _element(self, name: str, schema: Any, depth: int) -> Grammar:
        if not _NAME.fullmatch(name):
            raise UnwritableCall(f"the name {name!r} in {self._tool!r} cannot be written in a tag")
        return g.sequence(g.text(f"{_TAG}{name}>"), self._value(schema, f"{_MARK}</{name}>", depth + 1))

    def _value(self, schema: Any, end: str, depth: int) -> Grammar:
        """A value, and the `end` of its element."""
        written, rest = [], []
        for kind, part in _options(resolved(schema, self._root), self._root):
            if kind == "object":
                written.append(g.sequence(self.arguments(part, depth), g.text(end)))
            elif kind == "array":
                written.append(g.sequence(self._items(part, depth), g.text(end)))
            else:
                rest.append(part)
        if rest:
            written.append(self._text(rest[0] if len(rest) == 1 else {"anyOf": rest}, end))
        return g.either(*written)

    def _items(self, node: Mapping[str, Any], depth: int) -> Grammar:
        for keyword in node.keys() & {"uniqueItems", "contains", "prefixItems"}:
            self._held.miss(self._tool, f"`{keyword}`")
        item = g.sequence(g.text(_ITEM), self._value(node.get("items", True), f"{_MARK}</item>", depth + 1))
        return g.repeated(item, least=node.get("minItems", 0), most=node.get("maxItems"))

    def _text(self, schema: Any, end: str) -> Grammar:
        try:
            return held_value(schema, self._root, end, end, _TAG)
        except UnwritableSchema as error:
            return held_value(loosened(self._tool, "*", schema, self._held, error), self._root, end, end, _TAG)


MINIMAX_M3 = MinimaxNested("minimax_m3", (_CALLS,), tokens=(_MARK,))
