"""Tests that schemas which would take long to compile are refused, and that large ones which do not are held."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import EngineFailed, InvalidField, ServeError
from scripts.testbed.torture_schemas import JsonSchema
from tests.support import constraints
from workers.toolkit.chat.constraints import compiler as compilers
from workers.toolkit.chat.constraints import grammar, schema_limits, schemas
from workers.toolkit.chat.constraints.compiler import GrammarCompiler

_SELF = {"$ref": "#"}
_TEXT = {"type": "string"}


def _patterns(number: int) -> list[JsonSchema]:
    return [{"pattern": f"^.*a{index}.*b{{1,{index + 3}}}"} for index in range(number)]


def _properties(number: int, schema: Any = True) -> JsonSchema:
    return {"type": "object", "properties": {f"property {index}": schema for index in range(number)}}


def _deep(levels: int) -> JsonSchema:
    schema: JsonSchema = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def _chained(number: int) -> JsonSchema:
    """Patterns that hold for the same value, each behind a reference."""
    links = {f"d{i}": {**part, "$ref": f"#/$defs/d{i + 1}"} for i, part in enumerate(_patterns(number))}
    return {"$defs": {**links, f"d{number}": _TEXT}, "$ref": "#/$defs/d0"}


TOO_LARGE: dict[str, tuple[JsonSchema, str]] = {
    "properties": (_properties(5000, _TEXT), "10003 values, and at most 5000"),
    "properties of any type": (_properties(2000), "2000 properties, and at most 1000"),
    "required properties": ({"required": [f"p{i}" for i in range(1001)]}, "1001 properties"),
    "names of properties": ({"propertyNames": {"enum": [f"p{i}" for i in range(1001)]}}, "1001 properties"),
    "recursive options": ({"anyOf": [_SELF] * 15_000}, "30002 values"),
    "few recursive options": ({"anyOf": [_SELF] * 301}, r"301 \$ref, and at most 300"),
    "nested recursive options": ({"anyOf": [{"anyOf": [_SELF] * 40}] * 40}, r"1600 \$ref"),
    "patterns of all": ({"allOf": _patterns(60)}, "60 different patterns and formats .* at most 8"),
    "patterns behind references": (_chained(9), "9 different patterns"),
    "patterns of merged properties": ({"allOf": [_properties(1, part) for part in _patterns(9)]}, "9 different"),
    "patterns in an unknown keyword": ({"x": {"allOf": _patterns(9)}, "$ref": "#/x"}, "9 different patterns"),
    "a long pattern": ({"pattern": "a" * 1001}, "1001 characters in one pattern"),
    "keys of many patterns": ({"patternProperties": {f"^{i}$": True for i in range(65)}}, "65 patterns"),
    "long texts": ({"enum": ["x" * 100_000 + end for end in "ab"]}, "200006 characters"),
    "levels": (_deep(5000), "101 levels, and at most 100"),
    "a multiple": ({"type": "integer", "multipleOf": 1_000_003}, "1000003 as the sum of multipleOf"),
    "a multiple with decimals": ({"type": "integer", "multipleOf": 1.000003}, "1000003 as the sum"),
    "common multiples": ({"allOf": [{"multipleOf": prime} for prime in (89, 97, 101)]}, "least common multiple"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_schema_that_compiles_too_long_is_refused(name: str) -> None:
    schema, reason = TOO_LARGE[name]
    with pytest.raises(InvalidField, match=f"too large to hold answers to: .*{reason}") as caught:
        schemas.prepare(schema, strict=False, field="response_format")
    assert caught.value.param == "response_format"


WITHIN: dict[str, JsonSchema] = {
    "optional properties": _properties(500, _TEXT),
    "required properties": {**_properties(500, _TEXT), "required": [f"property {i}" for i in range(500)]},
    "values": {"enum": [f"value {index}" for index in range(4000)]},
    "patterns": {
        "type": "object",
        "properties": {f"p{i}": {"type": "string", **part} for i, part in enumerate(_patterns(64))},
    },
    "described references": {"$defs": {"d": _TEXT}, **_properties(300, {"$ref": "#/$defs/d", "description": "a text"})},
    "recursive options": {"anyOf": [*[_SELF] * 300, _TEXT]},
    "combined patterns": {"type": "string", "allOf": _patterns(4)},
    "a multiple": {"type": "integer", "multipleOf": 3600},
}


@pytest.mark.parametrize("name", WITHIN)
def test_large_schema_within_the_limits_compiles(name: str, compiler: GrammarCompiler, tokens: Any) -> None:
    prepared = schemas.prepare(WITHIN[name], strict=False, field="response_format")
    constraint = compiler.constraint(grammar.json_value(prepared.schema), "response_format")
    assert constraints.next_tokens(constraint, tokens).any()


def test_schemas_of_tools_are_limited_together() -> None:
    tool = _properties(900, True)
    schema_limits.check_together([tool] * 4, "tools")
    with pytest.raises(InvalidField, match=r"schemas of the tools .* 4500 properties, and at most 4000"):
        schema_limits.check_together([tool] * 5, "tools")


def test_comparing_options_that_refer_to_each_other_ends() -> None:
    names = [f"p{index}" for index in range(30)]
    same = {"type": "object", "required": names, "properties": {name: {"$ref": "#/$defs/same"} for name in names}}
    schema = {"$defs": {"same": same}, "oneOf": [{"$ref": "#/$defs/same"}] * 2}
    [warning] = schemas.prepare(schema, strict=False, field="response_format").loosened
    assert "oneOf" in warning


def test_library_refuses_patterns_with_a_short_reason(compiler: GrammarCompiler, tokens: Any) -> None:
    prepared = schemas.prepare({"type": "string", "allOf": _patterns(8)}, strict=True, field="response_format")
    constraint = compiler.constraint(grammar.json_value(prepared.schema), "response_format")
    with pytest.raises(ServeError, match="cannot be held to this schema") as caught:
        constraints.next_tokens(constraint, tokens)
    assert len(str(caught.value)) < 500


def test_step_beyond_the_limits_ends_the_answer(monkeypatch: pytest.MonkeyPatch, tokens: Any) -> None:
    monkeypatch.setattr(compilers, "_LIMITS", {"step_lexer_fuel": 1})
    pattern = grammar.pattern("(a|b)*a.{10}c(d|e){3,9}")
    with pytest.raises(EngineFailed, match="could not be held to its grammar: lexer error"):
        constraints.written(constraints.compiler(tokens), tokens, pattern, seed=1, limit=300)


@pytest.fixture(scope="module")
def tokens() -> Any:
    return constraints.tokenizer()


@pytest.fixture(scope="module")
def compiler(tokens: Any) -> GrammarCompiler:
    return constraints.compiler(tokens)
