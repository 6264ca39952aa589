"""Reads YAML in which every key of a mapping occurs once."""

from __future__ import annotations

from typing import Any

import yaml


class _UniqueKeyLoader(yaml.SafeLoader):
    """A loader that rejects a repeated key. PyYAML keeps the last one and silently drops the others."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if key_node.tag != "tag:yaml.org,2002:merge" and isinstance(key, str) and key in lines:
                message = f"the key `{key}` is in line {lines[key]} and again in line {line}; keep one of them"
                raise yaml.constructor.ConstructorError(None, None, message)
            if isinstance(key, str):
                lines[key] = line
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """The document in a YAML text. Raises yaml.YAMLError, also for a repeated key."""
    return yaml.load(text, _UniqueKeyLoader)  # noqa: S506 - it is a SafeLoader


_HINTS = {
    r"'\t'": "indent with spaces, not with tabs",
    "mapping values are not allowed here": "put a space after each colon, and indent the keys of an entry alike",
    "could not find expected ':'": "a key ends with a colon and a space",
    "expected <block end>": "indent the entries of a list alike, and the keys of an entry alike",
    "expected ',' or": "a comma or a closing bracket is missing",
    "cannot start any token": "put the text into quotes",
}
"""What to do about the errors that people meet, by what PyYAML says."""


def explain(error: yaml.YAMLError) -> str:
    """What is wrong with a text that is not YAML, in one line that begins with the line's number, and what to do."""
    mark = getattr(error, "problem_mark", None)
    return (f"line {mark.line + 1}: " if mark else "") + problem_of(error)


def problem_of(error: yaml.YAMLError) -> str:
    """What is wrong with a text that is not YAML, and what to do, without where it is."""
    problem: str = getattr(error, "problem", None) or getattr(error, "context", None) or str(error)
    hint = next((hint for words, hint in _HINTS.items() if words in problem), None)
    return f"{problem}; {hint}" if hint else problem
