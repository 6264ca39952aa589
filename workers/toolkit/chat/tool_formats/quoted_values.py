"""Grammars of values in which strings are between marks of their own, and keys are bare: `{city:<|"|>Paris<|"|>}`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.constraints.grammar import Grammar
from workers.toolkit.chat.tool_formats.held_calls import (
    HeldArgument,
    HeldArguments,
    HeldTools,
    UnwritableCall,
    arguments_in,
    arguments_of,
)
from workers.toolkit.chat.tool_formats.schema_parts import (
    UnwritableSchema,
    declared_types,
    resolved,
    string_pattern,
    without_strings,
)

_BARE_KEY = re.compile(r"[\w.-]+")
_ANY_KEY = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_MAX_DEPTH = 16
_MAX_NODES = 20_000
_LEAVES = ("boolean", "integer", "null", "number")
_HELD = frozenset({
    "type", "items", "prefixItems", "minItems", "maxItems", "properties", "required", "additionalProperties", "const",
    "enum", "anyOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "pattern", "format",
    "minLength", "maxLength", "title", "description", "default", "examples", "nullable", "deprecated", "$comment",
    "$defs", "definitions", "readOnly", "writeOnly",
})  # fmt: skip
"""Keywords that are held, or ask for nothing."""
_NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


class QuotedValues:
    """Writes values of one tool's schemas. `quote` is around each string, and `end` cannot be in one."""

    def __init__(self, quote: str, end: str, tool: str, held: HeldTools) -> None:
        self._quote, self._end, self._tool, self._held = quote, end, tool, held
        self._root = held.schemas[tool]
        self._nodes = 0

    def arguments(self) -> Grammar:
        """The arguments of a call, as an object."""
        return self._object(arguments_of(self._tool, self._held), 0)

    def _object(self, arguments: HeldArguments, depth: int) -> Grammar:
        def pair(item: HeldArgument | None) -> Grammar:
            if item is None:
                return g.sequence(g.pattern(_ANY_KEY), g.text(":"), self._value(arguments.free, "*", depth))
            return g.sequence(g.text(f"{self._key(item.name)}:"), self._value(item.schema, item.name, depth))

        return g.sequence(g.text("{"), arguments.written(pair, ","), g.text("}"))

    def _key(self, name: str) -> str:
        if self._quote in name or self._end in name:
            raise UnwritableCall(f"the name {name!r} in the schema of {self._tool!r} has control tokens in it")
        return name if _BARE_KEY.fullmatch(name) else f"{self._quote}{name}{self._quote}"

    def _value(self, schema: Any, name: str, depth: int) -> Grammar:
        """A value of a schema. `name` is its argument or key, for messages."""
        self._nodes += 1
        if depth > _MAX_DEPTH or self._nodes > _MAX_NODES:
            raise UnwritableCall(f"the schema of {self._tool!r} is recursive, or too large for this form of calls")
        node = self._prepared(schema, name)
        options = [self._string(node, name)]
        if "enum" in node or "const" in node:
            literals = [node["const"]] if "const" in node else node["enum"]
            options += [g.text(self._literal(value)) for value in literals if not isinstance(value, str)]
        elif "anyOf" in node:
            others = [without_strings(option, self._root) for option in node["anyOf"]]
            options += [self._value(option, name, depth + 1) for option in others if option is not False]
        else:
            options += [self._of_type(kind, node, name, depth + 1) for kind in declared_types(node) if kind != "string"]
        written = [option for option in options if option is not None]
        if not written:
            raise UnwritableCall(f"no value fits the schema of {name!r} in {self._tool!r}")
        return g.either(*written)

    def _prepared(self, schema: Any, name: str) -> dict[str, Any]:
        """The node without what is not held, which is noted."""
        node = resolved(schema, self._root)
        if not node:
            return {"type": [*_LEAVES, "string"]}
        parts = node.get("allOf") or []
        if len(parts) == 1 and not node.keys() & {"type", "properties", "anyOf", "enum"}:
            del node["allOf"]
            node |= resolved(parts[0], self._root)
        for keyword in sorted(node.keys() - _HELD):
            self._held.miss(self._tool, f"`{keyword}` of {name!r}")
            del node[keyword]
        return node

    def _string(self, node: Mapping[str, Any], name: str) -> Grammar | None:
        try:
            text = string_pattern(node, self._root)
        except UnwritableSchema as error:
            self._held.miss(self._tool, f"{error} of {name!r}")
            text = g.free_text()
        return text and g.sequence(g.text(self._quote), g.before(self._quote, text, never=[self._quote, self._end]))

    def _of_type(self, kind: str, node: Mapping[str, Any], name: str, depth: int) -> Grammar:
        if kind in _LEAVES:
            return g.json_value({"type": kind, **{key: node[key] for key in _NUMERIC if key in node}})
        if kind == "array":
            return self._array(node, name, depth)
        return self._object(arguments_in(node, self._tool, self._held, f"of {name!r}"), depth)

    def _array(self, node: Mapping[str, Any], name: str, depth: int) -> Grammar:
        first = [self._value(schema, name, depth) for schema in node.get("prefixItems") or ()]
        least, most = node.get("minItems", 0), node.get("maxItems")
        rest = node.get("items", True)
        if first:
            self._held.miss(self._tool, f"`prefixItems` of {name!r}") if least > len(first) else None
            items = g.sequence(first[0], *(g.sequence(g.text(","), item) for item in first[1:]))
        elif rest is False or most == 0:
            items = g.text("")
        else:
            item = self._value(rest, name, depth)
            items = g.repeated(item, least=least, most=most, separator=g.text(","))
        return g.sequence(g.text("["), items, g.text("]"))

    def _literal(self, value: Any) -> str:
        """A literal as the model writes it."""
        if isinstance(value, str):
            return f"{self._quote}{value}{self._quote}"
        if isinstance(value, list):
            return f"[{','.join(map(self._literal, value))}]"
        if isinstance(value, Mapping):
            return f"{{{','.join(f'{self._key(key)}:{self._literal(item)}' for key, item in value.items())}}}"
        return json.dumps(value)
