"""Adds API keys to config.yaml and removes them, and leaves every other line as it is, comments included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from command.session import CommandError

_PATH = ("security", "api_keys")


def with_key(text: str, entry: Mapping[str, Any]) -> str:
    """The configuration with another key. Raises CommandError if its form leaves no place for one."""
    line = yaml.safe_dump(dict(entry), default_flow_style=True, sort_keys=False, width=1000).strip()
    section, keys = _nodes(text)
    if section is None:
        return f"{text.rstrip()}\n\nsecurity:\n  api_keys:\n    - {line}\n".lstrip()
    if not section.value:
        raise CommandError("`security` is empty: remove that line from the configuration, and try again")
    if section.flow_style:
        raise CommandError("`security` is written in braces: write its settings line by line, and try again")
    indent = " " * section.start_mark.column
    if keys is None:
        return _inserted(text, section.start_mark.index, f"api_keys:\n{indent}  - {line}\n{indent}")
    if not keys.value or keys.flow_style:
        return _flow(text, keys, line)
    column = " " * keys.start_mark.column
    return _inserted(text, keys.start_mark.index, f"- {line}\n{column}")


def without_key(text: str, name: str) -> str:
    """The configuration without the key of that name. Raises CommandError if there is none."""
    _, keys = _nodes(text)
    for number, node in enumerate(keys.value if keys else ()):
        if yaml.safe_load(yaml.serialize(node)).get("name") == name:
            assert keys is not None
            if keys.flow_style:
                return _flow_without(text, keys, number)
            return _lines_without(text, node, is_only=len(keys.value) == 1, keys=keys)
    raise CommandError(f"The configuration has no key {name!r}. `enginehouse keys list` shows them.")


def _nodes(text: str) -> tuple[yaml.MappingNode | None, yaml.SequenceNode | None]:
    """The nodes of `security` and `security.api_keys`, if they are there. Raises CommandError for broken YAML."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CommandError(f"The configuration is not valid YAML: {error}") from None
    section = _member(root, _PATH[0])
    if section is None:
        return None, None
    if not isinstance(section, yaml.MappingNode):
        raise CommandError("`security` has no settings: remove that line from the configuration, and try again")
    keys = _member(section, _PATH[1])
    if keys is not None and not isinstance(keys, yaml.SequenceNode):
        raise CommandError("`security.api_keys` is no list: remove that line from the configuration, and try again")
    return section, keys


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _inserted(text: str, index: int, part: str) -> str:
    return text[:index] + part + text[index:]


def _flow(text: str, keys: yaml.SequenceNode, line: str) -> str:
    """A list in brackets, with another entry."""
    start = keys.start_mark.index + 1
    return _inserted(text, start, line + (", " if keys.value else ""))


def _flow_without(text: str, keys: yaml.SequenceNode, number: int) -> str:
    rest = [node for index, node in enumerate(keys.value) if index != number]
    parts = [text[node.start_mark.index : node.end_mark.index] for node in rest]
    return text[: keys.start_mark.index] + f"[{', '.join(parts)}]" + text[keys.end_mark.index :]


def _lines_without(text: str, node: yaml.Node, *, is_only: bool, keys: yaml.SequenceNode) -> str:
    """The text without the lines of an entry of a list that is written line by line."""
    lines = text.splitlines(keepends=True)
    first, end = node.start_mark.line, node.end_mark
    last = end.line if end.column or end.line == first else end.line - 1
    while last > first and not lines[last].strip():
        last -= 1
    kept = lines[:first] + lines[last + 1 :]
    if not is_only:
        return "".join(kept)
    before = keys.start_mark.line - 1
    while not kept[before].split("#")[0].strip():
        before -= 1
    kept[before] = kept[before].replace("api_keys:", "api_keys: []", 1)
    return "".join(kept)
