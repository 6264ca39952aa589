"""Tests of JSON schemas that answers cannot be held to: refused by keyword, loosened, or rewritten."""

from __future__ import annotations

import re
from typing import Any

import pytest

from contract.errors import InvalidField, UnsupportedFeature
from scripts.testbed.torture_schemas import JsonSchema
from workers.toolkit.chat.constraints import schemas

_OBJECT = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}

UNHELD: dict[str, JsonSchema] = {
    "uniqueItems": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
    "not": {"type": "string", "not": {"const": "x"}},
    "if": {**_OBJECT, "if": {"required": ["a"]}, "then": {"required": ["b"]}},
    "oneOf": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    "contains": {"type": "array", "contains": {"const": 1}},
    "propertyNames": {"type": "object", "propertyNames": {"maxLength": 3}},
    "dependentRequired": {**_OBJECT, "dependentRequired": {"a": ["b"]}},
    "unevaluatedProperties": {"allOf": [_OBJECT], "unevaluatedProperties": False},
    "format": {"type": "string", "format": "regex"},
    "pattern": {"type": "string", "pattern": "^(?!a)"},
    "$ref": {"$ref": "https://example.org/schema.json"},
    "minProperties": {"type": "object", "minProperties": 2},
    "maxProperties": {**_OBJECT, "maxProperties": 1},
}


@pytest.mark.parametrize("keyword", UNHELD)
def test_strict_schema_is_refused_by_keyword(keyword: str) -> None:
    with pytest.raises(UnsupportedFeature, match=rf"{keyword.replace('$', '.')} in #/properties/value") as caught:
        prepare({"type": "object", "properties": {"value": UNHELD[keyword]}}, strict=True)
    assert caught.value.param == "response_format"
    assert caught.value.details == {"keywords": [keyword]}


@pytest.mark.parametrize("keyword", UNHELD)
def test_other_schema_is_loosened_with_a_warning(keyword: str) -> None:
    prepared = prepare(UNHELD[keyword], strict=False)
    [warning] = prepared.loosened
    assert f"{keyword} in #" in warning
    assert keyword == "minProperties" or keyword not in prepared.schema


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"oneOf": [{"const": 1}, {"const": 2}]}, {"anyOf": [{"const": 1}, {"const": 2}]}),
        ({"type": "array", "uniqueItems": False}, {"type": "array"}),
        ({"type": "integer", "format": "int64"}, {"type": "integer"}),
        ({"if": {"const": 1}}, {}),
        ({"type": "object", "unevaluatedProperties": False}, {"type": "object", "additionalProperties": False}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"x-guidance": {"lenient": True}, "type": "null"}, {"type": "null"}),
        (True, True),
    ],
)
def test_schema_of_the_same_meaning(schema: Any, expected: Any) -> None:
    prepared = prepare(schema, strict=True)
    assert (prepared.schema, prepared.loosened) == (expected, [])


@pytest.mark.parametrize(
    "options",
    [
        [{"const": 1}, {"const": 1.0}],
        [{"type": "string"}, {"enum": ["a"]}],
        [{"type": "object"}, {"type": "object", "required": ["a"]}],
        [{"$ref": "#/$defs/a"}, {"type": "string"}],
    ],
)
def test_overlapping_one_of_is_refused(options: list[Any]) -> None:
    with pytest.raises(UnsupportedFeature, match="oneOf"):
        prepare(
            {"oneOf": options, "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": ["null", "string"]}}}, strict=True
        )


@pytest.mark.parametrize("schema", [{"properties": {"a": 1}}, {"properties": {"a": "string"}}, {"items": None}])
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(InvalidField, match="not a JSON schema"):
        prepare(schema, strict=False)


def prepare(schema: Any, *, strict: bool) -> schemas.PreparedSchema:
    return schemas.prepare(schema, strict=strict, field="response_format")


LOOKAROUND = {
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$": (
        ["a@b.ch", "a.b+c@d-e.f.org", "o'x@y.co"],
        [".a@b.ch", "a..b@c.de", "a.@b.ch", "a'@b.ch", "a@b..ch", "a@b"],
    ),
    r"^(?=.{1,253}\.?$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[-0-9a-zA-Z]{0,61}[0-9a-zA-Z])?)*\.?$": (
        ["a", "a-b.ch", "A.b.c.de", "a.b."],
        ["", "-a", "a-", "a..b", "a_b", "a" * 64],
    ),
    r"^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$": (
        ["P1W", "P1Y2M3DT4H5M6.7S", "P2D", "PT5M", "P1YT1,5S", "P1MT2H"],
        ["P", "PT", "P1DT", "P1W2D", "PT1H2", "P1D2M", "T1H"],
    ),
    r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$": (["1", "-0.5", "+.5", "7.", "007"], ["", ".", "-", "+.", "1.2.3", "--1"]),
}
"""Patterns of libraries with lookaround, each with texts that fit it and texts that do not."""


@pytest.mark.parametrize("pattern", LOOKAROUND)
def test_known_lookaround_is_held_as_a_plain_pattern(pattern: str) -> None:
    prepared = prepare({"type": "string", "pattern": pattern}, strict=True)
    assert isinstance(prepared.schema, dict)
    held = prepared.schema["pattern"]
    assert "(?=" not in held
    assert "(?!" not in held
    for text, fits in [
        (text, fits) for fits, texts in zip((True, False), LOOKAROUND[pattern], strict=True) for text in texts
    ]:
        assert bool(re.search(pattern, text)) == bool(re.search(held, text)) == fits, text
