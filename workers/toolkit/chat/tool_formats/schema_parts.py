"""Splits JSON Schemas for formats that write strings as plain text, and everything else as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.constraints.grammar import Grammar

Node = Any
"""A JSON Schema: an object, or true or false."""

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_ANNOTATIONS = frozenset({
    "title", "description", "default", "examples", "$id", "$comment", "deprecated", "readOnly", "writeOnly", "nullable",
})  # fmt: skip
_MAX_REFERENCES = 32


class UnwritableSchema(Exception):
    """A schema asks for something that cannot be written as plain text; the message says what."""


def referenced(reference: Any, root: Mapping[str, Any]) -> Node:
    """What a reference within `root` refers to; true, which allows everything, if there is no such thing."""
    target: Any = root
    for step in filter(None, str(reference).removeprefix("#").split("/")):
        name = _unescaped(step)
        target = target.get(name, True) if isinstance(target, Mapping) else True
    return target


def resolved(node: Node, root: Mapping[str, Any]) -> dict[str, Any]:
    """The node, or the one to which it does nothing but refer."""
    for _ in range(_MAX_REFERENCES):
        if not isinstance(node, Mapping) or "$ref" not in node or node.keys() - _ANNOTATIONS - {"$ref", *_STORES}:
            break
        node = referenced(node["$ref"], root)
    return dict(node) if isinstance(node, Mapping) else ({} if node else {"type": []})


_STORES = ("$defs", "definitions")


def declared_types(node: Node) -> tuple[str, ...]:
    """The types that a node itself allows: all if it does not say."""
    declared = node.get("type", _TYPES)
    return (declared,) if isinstance(declared, str) else tuple(declared)


def string_pattern(node: Node, root: Mapping[str, Any], depth: int = 0) -> Grammar | None:
    """The pattern of the strings that fit; None if no string does. Raises UnwritableSchema."""
    if isinstance(node, bool):
        return g.free_text() if node else None
    if depth > _MAX_REFERENCES:
        raise UnwritableSchema("a reference to itself")
    if "string" not in declared_types(node):
        return None
    parts = list(_own_patterns(node))
    if "$ref" in node:
        parts.append(string_pattern(referenced(node["$ref"], root), root, depth + 1))
    parts += [string_pattern(part, root, depth + 1) for part in node.get("allOf") or ()]
    for union in ("anyOf", "oneOf"):
        if union in node:
            options = [string_pattern(option, root, depth + 1) for option in node[union]]
            parts.append(_either([option for option in options if option is not None]))
    if None in parts:
        return None
    patterns = [part for part in parts if part is not None and part.kind != "free"]
    return g.both(*patterns) if len(patterns) > 1 else next(iter(patterns), g.free_text())


def _own_patterns(node: Mapping[str, Any]) -> Iterator[Grammar | None]:
    if "const" in node or "enum" in node:
        literals = [node["const"]] if "const" in node else node["enum"]
        yield _either([g.text(literal) for literal in literals if isinstance(literal, str)])
    if "minLength" in node or "maxLength" in node:
        yield g.pattern(f"(?s:.{{{node.get('minLength', 0)},{node.get('maxLength', '')}}})")
    if "pattern" in node:
        yield g.pattern(_whole(node["pattern"]))
    if (name := node.get("format")) is not None:
        if name not in _FORMATS:
            raise UnwritableSchema(f"the format {name!r}")
        yield g.pattern(_FORMATS[name])


def _either(options: list[Grammar]) -> Grammar | None:
    if any(option.kind == "free" for option in options):
        return g.free_text()
    return g.either(*options) if options else None


def without_strings(node: Node, root: Mapping[str, Any]) -> Node:
    """The node for all values but strings; false if no other value fits."""
    if isinstance(node, bool):
        return {"type": _others(_TYPES)} if node else False
    if string_pattern(node, root) is None:
        return node
    node = resolved(node, root)
    types = _others(declared_types(node))
    if not types or isinstance(node.get("const"), str):
        return False
    result = {**node, "type": types} if "type" in node or not _UNIONS & node.keys() else dict(node)
    if "enum" in node:
        result["enum"] = [value for value in node["enum"] if not isinstance(value, str)]
    for keyword in _UNIONS & node.keys():
        options = [without_strings(option, root) for option in node[keyword]]
        result[keyword] = [option for option in options if option is not False]
    is_empty = any(result[keyword] == [] for keyword in ("enum", *_UNIONS) if keyword in result)
    return False if is_empty else result


_UNIONS = {"anyOf", "oneOf"}


def _others(types: tuple[str, ...]) -> list[str]:
    return [name for name in types if name != "string"]


def is_open(node: Node, root: Mapping[str, Any]) -> bool:
    """Whether a schema asks for nothing but types."""
    node = resolved(node, root)
    options = [option for union in _UNIONS for option in node.get(union) or ()]
    return not node.keys() - _ANNOTATIONS - {"type"} - _UNIONS and all(is_open(option, root) for option in options)


def with_definitions(node: Node, root: Mapping[str, Any]) -> dict[str, Any]:
    """The node as a schema of its own: with what it refers to. Raises UnwritableSchema."""
    schema: dict[str, Any] = {} if node is True else {"not": {}} if node is False else dict(node)
    wanted, names = [schema], set()
    while wanted:
        for reference in _references(wanted.pop()):
            store, _, name = reference.removeprefix("#/").partition("/")
            first = name.split("/")[0]
            if store not in _STORES or not first:
                raise UnwritableSchema(f"the reference {reference!r}, which does not lead into `$defs`")
            if (store, first) not in names:
                names.add((store, first))
                wanted.append(referenced(f"#/{store}/{first}", root))
    for store, name in names:
        schema[store] = {**schema.get(store, {}), _unescaped(name): referenced(f"#/{store}/{name}", root)}
    return schema


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(reference := node.get("$ref"), str):
            yield reference
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _whole(pattern: str) -> str:
    """A pattern that may match anywhere, as one that matches the whole text. Raises UnwritableSchema."""
    branches = _branches(pattern)
    return "|".join(map(_whole_branch, branches))


def _whole_branch(branch: str) -> str:
    begin = "" if branch.startswith("^") else "(?s:.*)"
    end = "" if _ANCHORED_END.search(branch) else "(?s:.*)"
    inner = branch.removeprefix("^")
    inner = inner if end else inner[:-1]
    if _ANCHOR.search(inner):
        raise UnwritableSchema(f"the pattern {branch!r}, which has ^ or $ inside")
    return f"(?:{begin}(?:{inner}){end})"


_ANCHORED_END = re.compile(r"(?<!\\)(?:\\\\)*\$$")
_ANCHOR = re.compile(r"^(?:\\.|\[(?:\\.|[^\]\\])*\]|[^\\\[^$])*[\^$]", re.DOTALL)


def _branches(pattern: str) -> list[str]:
    """The alternatives of a pattern, as far as they are not inside a group."""
    branches, start, depth = [], 0, 0
    for piece in _REGEX_PIECE.finditer(pattern):
        depth += {"(": 1, ")": -1}.get(piece[0], 0)
        if piece[0] == "|" and depth == 0:
            branches.append(pattern[start : piece.start()])
            start = piece.end()
    return [*branches, pattern[start:]]


_REGEX_PIECE = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|.", re.DOTALL)

_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL}){{0,3}}"
_HEX = "[0-9A-Fa-f]{1,4}"
_FORMATS = {
    "duration": "P(?:[0-9]+W|(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)?"
    "(?:T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S))|"
    "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D))",
    "email": rf"[A-Za-z0-9_+-]{{1,32}}(?:\.[A-Za-z0-9_+-]{{1,32}})?@{_HOSTNAME}",
    "hostname": _HOSTNAME,
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    "ipv6": f"(?:{_HEX}:){{7}}{_HEX}|(?:{_HEX}:){{1,7}}:|::(?:{_HEX}:){{0,6}}{_HEX}",
    "uuid": "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*://(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})+(?:#[A-Za-z0-9._~-]*)?",
}
"""The formats that the library holds in JSON, as patterns for plain text: each allows only texts of its format."""
