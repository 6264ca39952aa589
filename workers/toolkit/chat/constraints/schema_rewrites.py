"""Rewrites keywords of JSON Schema into forms that llguidance holds, with the same meaning."""

from __future__ import annotations

import re
from typing import Any

_YEAR = "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DAY = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = f"(?:{_YEAR}-{_DAY}|{_LEAP_YEAR}-02-29)"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_CLOCK})"
FORMATS = {"date": f"^{_DATE}$", "time": f"^{_TIME}$", "date-time": f"^{_DATE}T{_TIME}$"}
"""Formats as patterns: only days that exist and no leap seconds, so that every language's parser takes them."""

LIBRARY_FORMATS = frozenset({"duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"})
"""Formats that the library holds as they are."""
_OTHER_FORMATS = frozenset({
    "idn-email", "idn-hostname", "iri", "iri-reference", "json-pointer", "regex", "relative-json-pointer",
    "uri-reference", "uri-template",
})  # fmt: skip
"""Formats of the standard that are not held. Names outside the standard, such as `int32`, ask for nothing."""

_UNKNOWN_REGEX = re.compile(r"\(\?<?[=!]|\\[1-9bBk]")
"""Lookaround, references to groups and word boundaries, for which there is no automaton."""

_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_SECONDS = r"\d+(?:[.,]\d+)?S"
_DATE_PART = r"(?:\d+Y(?:\d+M)?(?:\d+D)?|\d+M(?:\d+D)?|\d+D)"
_TIME_PART = rf"T(?:\d+H(?:\d+M)?(?:{_SECONDS})?|\d+M(?:{_SECONDS})?|{_SECONDS})"
_WITHOUT_LOOKAROUND = {
    # zod's z.email() until 4.5, z.hostname() and z.iso.duration()
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$": (
        r"^(?:[A-Za-z0-9_'+-]+\.)*[A-Za-z0-9_'+-]*[A-Za-z0-9_+-]@(?:[A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,}$"
    ),
    r"^(?=.{1,253}\.?$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[-0-9a-zA-Z]{0,61}[0-9a-zA-Z])?)*\.?$": (rf"^{_LABEL}(?:\.{_LABEL}){{0,3}}\.?$"),
    r"^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$": (
        rf"^P(?:\d+W|{_DATE_PART}(?:{_TIME_PART})?|{_TIME_PART})$"
    ),
    # pydantic's Decimal until 2.13
    r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$": r"^[+-]?(?:\d+\.?\d*|\.\d+)$",
}
"""Patterns with lookaround that libraries write, each with one for which there is an automaton.

It means the same, except that names of hosts have at most four parts, so that none is too long."""


def modernize(node: dict[str, Any]) -> dict[str, Any]:
    """The node in the form of draft 2020-12, without the lookaround of well-known patterns."""
    node = dict(node)
    if (pattern := node.get("pattern")) in _WITHOUT_LOOKAROUND:
        node["pattern"] = _WITHOUT_LOOKAROUND[pattern]
    if isinstance(node.get("items"), list):
        node = {"prefixItems" if name == "items" else name: value for name, value in node.items()}
        node["items"] = node.pop("additionalItems", True)
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if isinstance(node.get(exclusive), bool) and node.pop(exclusive) and bound in node:
            node[exclusive] = node.pop(bound)
    if node.get("unevaluatedProperties") is False and not _HAS_BRANCHES & node.keys():
        del node["unevaluatedProperties"]
        node["additionalProperties"] = node.get("additionalProperties", False)
    return _without_property_names(_without_idle_counts(node))


_HAS_BRANCHES = {"allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas", "$dynamicRef"}


def _without_property_names(node: dict[str, Any]) -> dict[str, Any]:
    """A map whose keys are enumerated or have a pattern gets them as `properties` or `patternProperties`."""
    names = node.get("propertyNames")
    if not isinstance(names, dict) or {"properties", "patternProperties"} & node.keys():
        return node
    values = node.get("additionalProperties", True)
    rest = {name: value for name, value in node.items() if name != "propertyNames"}
    if {"enum"} <= names.keys() <= {"type", "enum"} and isinstance(names["enum"], list):
        allowed = {name: values for name in names["enum"] if isinstance(name, str)}
        return {**rest, "properties": allowed, "additionalProperties": False}
    if {"pattern"} <= names.keys() <= {"type", "pattern"} and not _UNKNOWN_REGEX.search(str(names["pattern"])):
        return {**rest, "patternProperties": {names["pattern"]: values}, "additionalProperties": False}
    return node


def _without_idle_counts(node: dict[str, Any]) -> dict[str, Any]:
    """The node without counts of properties that always hold."""
    required, properties = set(node.get("required") or ()), node.get("properties") or {}
    is_closed = node.get("additionalProperties") is False and not node.get("patternProperties")
    if _count(node, "minProperties", 0) <= len(required):
        node.pop("minProperties", None)
    if is_closed and "maxProperties" in node and node["maxProperties"] >= len({*properties, *required}):
        del node["maxProperties"]
    return node


def is_unheld(node: dict[str, Any], keyword: str) -> bool:
    """Whether answers cannot be held to one of the node's keywords, apart from those that are never held."""
    value = node[keyword]
    match keyword:
        case "$ref":
            return not str(value).startswith("#")
        case "format":
            return value in _OTHER_FORMATS
        case "pattern":
            return bool(_UNKNOWN_REGEX.search(str(value)))
        case "patternProperties":
            return any(_UNKNOWN_REGEX.search(pattern) for pattern in value)
        case "minProperties" | "maxProperties":
            return not _are_counts_held(node) or (keyword == "minProperties" and _may_repeat(node))
    return False


def is_partly_held(node: dict[str, Any], keyword: str) -> bool:
    """Whether an unheld keyword is still of use: keys are counted, though not whether they differ."""
    return keyword == "oneOf" or (keyword == "minProperties" and _are_counts_held(node))


def _are_counts_held(node: dict[str, Any]) -> bool:
    """Whether the library counts this object's properties: those of a map, or one of several optional ones."""
    required = set(node.get("required") or ())
    if all(name in required for name in node.get("properties") or {}):
        return True
    one_more = len(required) + 1
    closed = node.get("additionalProperties") is False and not node.get("patternProperties")
    return (
        closed
        and _count(node, "minProperties", one_more) <= one_more
        and _count(node, "maxProperties", one_more) == one_more
    )


def _may_repeat(node: dict[str, Any]) -> bool:
    """Whether a key that occurs twice may be counted twice."""
    return _count(node, "minProperties", 0) - len(set(node.get("required") or ())) > 1


def _count(node: dict[str, Any], keyword: str, otherwise: int) -> int:
    value = node.get(keyword)
    return int(value) if isinstance(value, int | float) else otherwise


def add(node: dict[str, Any], keyword: str, content: Any) -> None:
    """Add a keyword to a node. If the node has it already, both must hold."""
    if keyword in node:
        node.setdefault("allOf", []).append({keyword: content})
    else:
        node[keyword] = content
