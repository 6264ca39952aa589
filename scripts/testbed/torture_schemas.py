"""JSON schemas that are hard to hold an answer to. Every value that fits one of them ends after some hundred tokens."""

from __future__ import annotations

from typing import Any

JsonSchema = dict[str, Any]

_SHORT = {"type": "string", "maxLength": 6}
_KINDS: list[JsonSchema] = [
    _SHORT,
    {"type": "integer", "minimum": -99, "maximum": 99},
    {"type": "boolean"},
    {"type": "null"},
]


def _object(properties: JsonSchema, **more: Any) -> JsonSchema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def _nested(depth: int) -> JsonSchema:
    return _object({"value": _SHORT, "inner": _nested(depth - 1)}) if depth else _object({"leaf": {"type": "boolean"}})


def _kind(name: str, **properties: Any) -> JsonSchema:
    return _object({"kind": {"const": name}, **properties})


TORTURE: dict[str, JsonSchema] = {
    "nested": _nested(8),
    "five hundred properties": _object({f"p{number}": _KINDS[number % 4] for number in range(500)}),
    "many optional properties": {
        **_object({f"p{number}": {"type": "boolean"} for number in range(40)}),
        "required": [],
    },
    "union": {"anyOf": [{"type": "null"}, _object({"a": _SHORT}), {"type": "array", "items": _SHORT, "maxItems": 3}]},
    "list of types": _object(
        {"value": {"type": ["string", "null", "integer"], "maxLength": 4, "maximum": 9, "minimum": 0}}
    ),
    "references": {
        "$defs": {
            "point": _object({"x": {"$ref": "#/$defs/small"}, "y": {"$ref": "#/$defs/small"}}),
            "small": {"type": "number", "minimum": -1, "maximum": 1, "multipleOf": 0.25},
        },
        **_object({"from": {"$ref": "#/$defs/point"}, "to": {"anyOf": [{"$ref": "#/$defs/point"}, {"type": "null"}]}}),
    },
    "recursion": {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"name": _SHORT, "next": {"$ref": "#/$defs/node"}},
                "required": ["name"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    },
    "one of several kinds": {
        "$defs": {"cat": _kind("cat", lives={"enum": [7, 9]}), "dog": _kind("dog", barks={"type": "boolean"})},
        **_object(
            {
                "pet": {
                    "oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}],
                    "discriminator": {"propertyName": "kind"},
                }
            }
        ),
    },
    "enum of everything": {
        "enum": ["a", "é", "", '"quoted"', "\\", "line\nbreak", 1, -2.5, True, None, [1, "x"], {"k": [2]}]
    },
    "const": _object({"version": {"const": {"major": 1, "tags": ["a", "ü"]}}}),
    "unicode": _object(
        {"größe": _SHORT, "名前": {"enum": ["花子", "🦊", "\u2028"]}, 'a"b\\c': {"type": "null"}, "tab\t": _KINDS[2]}
    ),
    "patterns": _object(
        {
            "plate": {"type": "string", "pattern": "^[A-ZÄÖÜ]{1,3}-[0-9]{1,4}$"},
            "contains": {"type": "string", "pattern": "ab", "maxLength": 8},
            "both": {"type": "string", "pattern": "^(a|b)+$", "minLength": 3, "maxLength": 5},
            "escaped": {"type": "string", "pattern": r"^\d{2}\/\w+\.(jpg|png)$", "maxLength": 16},
        }
    ),
    "formats": _object(
        {
            "day": {"type": "string", "format": "date"},
            "clock": {"type": "string", "format": "time"},
            "moment": {"type": "string", "format": "date-time"},
            "id": {"type": "string", "format": "uuid"},
            "address": {"type": "string", "format": "ipv4"},
            "mail": {"type": "string", "format": "email", "maxLength": 24},
            "size": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 99},
        }
    ),
    "bounds of numbers": _object(
        {
            "percent": {"type": "integer", "minimum": 0, "maximum": 100},
            "below": {"type": "integer", "exclusiveMaximum": -7, "minimum": -20},
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "multipleOf": 0.125},
            "even": {"type": "integer", "multipleOf": 2, "minimum": -1000, "maximum": 1000},
        }
    ),
    "bounds of strings": _object(
        {"exact": {"type": "string", "minLength": 4, "maxLength": 4}, "short": {"type": "string", "maxLength": 2}}
    ),
    "bounds of arrays": _object(
        {
            "pair": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
            "row": {"type": "array", "prefixItems": [_SHORT, {"type": "null"}], "items": False, "minItems": 2},
            "empty": {"type": "array", "maxItems": 0},
        }
    ),
    "map": {
        "type": "object",
        "additionalProperties": {"type": "boolean"},
        "minProperties": 1,
        "maxProperties": 3,
        "propertyNames": {"pattern": "^[a-z]{1,8}$"},
    },
    "map of known keys": {
        "type": "object",
        "propertyNames": {"enum": ["a", "b"]},
        "additionalProperties": _SHORT,
        "required": ["a"],
    },
    "pattern of keys": {
        "type": "object",
        "patternProperties": {"^x_[a-z]$": _SHORT},
        "additionalProperties": False,
        "maxProperties": 2,
    },
    "more than is named": {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["a"],
        "additionalProperties": {"type": "boolean"},
        "maxProperties": 2,
    },
    "all of": {
        "allOf": [
            {"type": "object", "properties": {"a": _SHORT}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ],
        "maxProperties": 2,
    },
    "matrix": {
        "type": "array",
        "items": {"type": "array", "items": {"enum": [0, 1]}, "minItems": 2, "maxItems": 2},
        "minItems": 1,
        "maxItems": 2,
    },
    "scalar": {"type": "integer", "minimum": 10, "maximum": 99},
    "draft 4": {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "definitions": {"s": _SHORT},
        **_object(
            {
                "a": {"$ref": "#/definitions/s"},
                "above": {"type": "integer", "minimum": 3, "exclusiveMinimum": True, "maximum": 9},
            }
        ),
    },
    "draft 7": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "array",
        "minItems": 2,
        "additionalItems": False,
        "items": [{"type": "boolean"}, {"const": 1}],
    },
}
