"""Prepares JSON Schemas for constrained decoding: what cannot be held is refused by keyword, or loosened and reported.

Older drafts are brought to the form of draft 2020-12, and what the library only understands in another form is
rewritten into that form where the meaning stays the same. Source: json-schema.org/draft/2020-12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from contract.errors import InvalidField, UnsupportedFeature
from workers.toolkit.chat.constraints import schema_limits
from workers.toolkit.chat.constraints import schema_rewrites as rewrites
from workers.toolkit.chat.constraints.disjoint import are_disjoint

Schema = dict[str, Any] | bool

_IN_ONE = ("additionalProperties", "items")
_IN_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_IN_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_NEVER_HELD: dict[str, Callable[[dict[str, Any]], bool]] = {
    "not": lambda node: node["not"] is not False,
    "if": lambda node: "then" in node or "else" in node,
    "uniqueItems": lambda node: bool(node["uniqueItems"]) and node.get("maxItems") not in (0, 1),
    "contains": lambda node: node.get("minContains") != 0 or "maxContains" in node,
    "propertyNames": lambda node: node["propertyNames"] not in (True, {}, {"type": "string"}),
    "dependentRequired": lambda node: bool(node["dependentRequired"]),
    "dependentSchemas": lambda node: bool(node["dependentSchemas"]),
    "dependencies": lambda node: bool(node["dependencies"]),
    "unevaluatedProperties": lambda node: node["unevaluatedProperties"] is not True,
    "unevaluatedItems": lambda node: node["unevaluatedItems"] is not True,
    "$dynamicRef": lambda _: True,
    "$recursiveRef": lambda _: True,
}
"""Keywords that are left out, each with the test of whether it asks for anything in its node."""
_LEFT_OUT = {*_NEVER_HELD, "then", "else", "minContains", "maxContains", "x-guidance", "$schema"}


@dataclass(frozen=True, slots=True)
class PreparedSchema:
    """A schema that can be held, and a sentence for each keyword in which it asks for less than the original."""

    schema: Schema
    loosened: list[str]


def prepare(schema: Schema, *, strict: bool, field: str) -> PreparedSchema:
    """Prepare the schema in a request's `field`.

    If answers cannot be held to all of it, raises UnsupportedFeature for a `strict` schema, and loosens others. Raises
    InvalidField for what is no schema or too large (`schema_limits`).
    """
    schema_limits.check(schema, field)
    preparation = _Preparation(schema)
    try:
        prepared = preparation.node(schema, "#")
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidField(f"This is not a JSON schema: {error}.", param=field) from None
    if preparation.unheld and strict:
        raise _refusal(preparation.unheld, field)
    return PreparedSchema(prepared, [_sentence(keyword, path, field) for keyword, path in preparation.unheld])


class _Preparation:
    """Walks a schema and notes what cannot be held."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self.unheld: list[tuple[str, str]] = []
        """Keywords that cannot be held, each with the path of its node."""

    def node(self, node: Schema, path: str) -> Schema:
        """The node without what cannot be held."""
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            raise TypeError(f"{path} is neither an object nor true or false")
        node = rewrites.modernize(node)
        result: dict[str, Any] = {}
        for keyword, value in node.items():
            for name, content in self._held(node, keyword, value, path):
                rewrites.add(result, name, content)
        return result

    def _held(self, node: dict[str, Any], keyword: str, value: Any, path: str) -> Iterator[tuple[str, Any]]:
        """What stands in for a keyword: usually the keyword itself, prepared."""
        if self._is_unheld(node, keyword, value):
            self.unheld.append((keyword, path))
            if not rewrites.is_partly_held(node, keyword):
                return
        if keyword in _LEFT_OUT:
            return
        if keyword == "oneOf" and isinstance(value, list):
            yield "anyOf", self._list(value, f"{path}/oneOf")
        elif keyword == "format" and (pattern := rewrites.FORMATS.get(value)):
            yield "pattern", pattern
        elif keyword == "format" and value not in rewrites.LIBRARY_FORMATS:
            return
        else:
            yield keyword, self._inside(keyword, value, f"{path}/{keyword}")

    def _is_unheld(self, node: dict[str, Any], keyword: str, value: Any) -> bool:
        if keyword in _NEVER_HELD:
            return _NEVER_HELD[keyword](node)
        if keyword == "oneOf" and isinstance(value, list):
            return not are_disjoint(value, self._root)
        return rewrites.is_unheld(node, keyword)

    def _inside(self, keyword: str, value: Any, path: str) -> Any:
        if keyword in _IN_ONE:
            return self.node(value, path)
        if keyword in _IN_LISTS and isinstance(value, list):
            return self._list(value, path)
        if keyword in _IN_MAPS and isinstance(value, dict):
            return {name: self.node(schema, f"{path}/{name}") for name, schema in value.items()}
        return value

    def _list(self, schemas: list[Any], path: str) -> list[Any]:
        return [self.node(schema, f"{path}/{number}") for number, schema in enumerate(schemas)]


def _refusal(unheld: list[tuple[str, str]], field: str) -> UnsupportedFeature:
    keywords = sorted({keyword for keyword, _ in unheld})
    places = ", ".join(f"{keyword} in {path}" for keyword, path in unheld[:8])
    return UnsupportedFeature(
        f"Answers cannot be held to all of this strict schema: {places}. Leave out {', '.join(keywords)}, or send the "
        "schema without `strict` and check the answers for it.",
        param=field,
        details={"keywords": keywords},
    )


def _sentence(keyword: str, path: str, field: str) -> str:
    return f"{field}: the answer fits the schema except for {keyword} in {path}, to which it could not be held."
