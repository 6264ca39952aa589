"""Limits of JSON Schemas, within which one takes at most about a second to compile.

Grammars of a model are compiled one after another, so an unbounded schema would keep other requests waiting. The limits
of llguidance do not bound this time: they count neither the work on recursive options nor that on combined patterns.
The numbers are measured with llguidance 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from contract.errors import InvalidField

_MAX_TOOLS = 4
"""The schemas of all tools together may be this many times as large as one schema."""
_MAX_DEPTH = 100
_MAX_PATTERN_LENGTH = 1000
_MAX_COMBINED = 8
"""llguidance intersects patterns that hold for the same value, which takes exponentially long."""
_LIMITS = {
    "values": 5000,
    "characters": 200_000,
    "properties": 1000,
    "$ref": 300,
    "patterns": 64,
    "multipleOf": 100_000,
}
_CONTENT = ("pattern", "format", "multipleOf", "properties", "patternProperties", "additionalProperties", "items")
"""Keywords with which a node may add a pattern to those of the schemas that it combines."""


@dataclass
class _SchemaSize:
    """What is counted in a schema."""

    values: int = 0
    characters: int = 0
    properties: int = 0
    references: int = 0
    depth: int = 0
    patterns: list[str] = field(default_factory=list)
    formats: set[str] = field(default_factory=set)
    multiples: set[int] = field(default_factory=set)
    is_combining: bool = False
    """Whether several schemas may hold for the same value."""


def check(schema: Any, name: str) -> None:
    """Refuse a schema that could take too long to compile, with an InvalidField for the request's field `name`."""
    size = _size(schema)
    _check_numbers(size, name, 1)
    longest = max(map(len, size.patterns), default=0)
    _limit(longest, _MAX_PATTERN_LENGTH, "characters in one pattern", name)
    if size.is_combining:
        combined = len({*size.patterns} | size.formats)
        what = (
            "different patterns and formats in a schema with allOf, or with anyOf, oneOf or $ref beside other keywords"
        )
        _limit(combined, _MAX_COMBINED, what, name)
        _limit(math.lcm(*size.multiples), _LIMITS["multipleOf"], "as the least common multiple of multipleOf", name)


def check_together(schemas: list[Any], name: str) -> None:
    """Refuse the schemas of tools that are too large together."""
    _check_numbers(_size(schemas), name, _MAX_TOOLS)


def _check_numbers(size: _SchemaSize, name: str, factor: int) -> None:
    _limit(size.depth, _MAX_DEPTH, "levels", name)
    _limit(size.values, factor * _LIMITS["values"], "values", name)
    _limit(size.characters, factor * _LIMITS["characters"], "characters", name)
    _limit(size.properties, factor * _LIMITS["properties"], "properties", name)
    _limit(size.references, factor * _LIMITS["$ref"], "$ref", name)
    _limit(len(size.patterns), factor * _LIMITS["patterns"], "patterns", name)
    _limit(
        sum(size.multiples),
        factor * _LIMITS["multipleOf"],
        "as the sum of multipleOf, in units of its last digit",
        name,
    )


def _limit(number: int, limit: int, what: str, name: str) -> None:
    if number > limit:
        schema = "The schemas of the tools are" if name == "tools" else "The schema is"
        raise InvalidField(
            f"{schema} too large to hold answers to: {number} {what}, and at most {limit} are possible. Send a smaller "
            "schema.",
            param=name,
        )


def _size(schema: Any) -> _SchemaSize:
    """Count in all of the JSON, since a reference may lead anywhere in it. Not recursive, for schemas of any depth."""
    size = _SchemaSize()
    level = [schema]
    while level and size.depth <= _MAX_DEPTH:
        size.depth += 1
        size.values += len(level)
        following: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                _count(value, size)
                following += value.values()
            elif isinstance(value, list):
                following += value
            elif isinstance(value, str):
                size.characters += len(value)
        level = following
    return size


def _count(node: dict[str, Any], size: _SchemaSize) -> None:
    """Count what a node has besides its values."""
    size.characters += sum(map(len, node))
    size.properties += len({*_names(node)})
    size.references += "$ref" in node
    size.patterns += [pattern for pattern in (node.get("pattern"),) if isinstance(pattern, str)]
    keys = node.get("patternProperties")
    size.patterns += keys if isinstance(keys, dict) else []
    if isinstance(name := node.get("format"), str):
        size.formats.add(name)
    size.multiples |= {*_multiples(node)}
    size.is_combining |= _is_combining(node)


def _names(node: dict[str, Any]) -> Iterator[str]:
    """The names of an object's properties."""
    if isinstance(properties := node.get("properties"), dict):
        yield from properties
    listed = node.get("required")
    names = node.get("propertyNames")
    for more in (listed, names.get("enum") if isinstance(names, dict) else None):
        yield from (name for name in (more if isinstance(more, list) else ()) if isinstance(name, str))


def _multiples(node: dict[str, Any]) -> Iterator[int]:
    """The node's `multipleOf` as a whole number, in units of its last decimal digit: 0.25 is 25."""
    value = node.get("multipleOf")
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
        exact = Fraction(repr(value))
        while exact.denominator > 1:
            exact *= 10
        yield exact.numerator


def _is_combining(node: dict[str, Any]) -> bool:
    parts = node.get("allOf")
    several = len(parts) if isinstance(parts, list) else 0
    several += sum(keyword in node for keyword in ("anyOf", "oneOf", "$ref"))
    return several + any(keyword in node for keyword in _CONTENT) > 1 if several else False
