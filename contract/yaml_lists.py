"""Adds entries to a list in a YAML text and removes them, and leaves every other byte as it is, comments included.

PyYAML says where each part of the text is, and all others are copied. A library that writes the whole text again loses
some of it: ruamel.yaml 0.19 rewrites `null`, and with an entry it removes the comment above the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from contract.yaml_file import explain, read_yaml


class UneditableYaml(Exception):
    """The text has no place for the change. The message says what to do."""


@dataclass(frozen=True, slots=True)
class ListPath:
    """Where a list is: the keys that lead to it, and the key that names each of its entries."""

    keys: tuple[str, ...]
    name: str

    def __str__(self) -> str:
        return ".".join(self.keys)


def with_entry(text: str, path: ListPath, entry: Mapping[str, Any], *, one_line: bool = False) -> str:
    """The text with another entry at the end of the list. Raises UneditableYaml."""
    parents, items = _find(text, path)
    eol = "\r\n" if "\r\n" in text else "\n"
    if isinstance(items, yaml.SequenceNode) and items.value and not items.flow_style:
        new_text = _with_lines(text, items, _lines(entry, one_line=one_line), eol)
    elif isinstance(items, yaml.SequenceNode) and items.value:
        new_text = _inserted(text, items.value[-1].end_mark.index, f", {_flow(entry)}")
    elif items is not None:
        new_text = _instead_of_nothing(text, items, parents[-1], _lines(entry, one_line=one_line), eol)
    else:
        new_text = _with_section(text, path, parents, _lines(entry, one_line=one_line), eol)
    _check(text, new_text, path, added=entry)
    return new_text


def without_entry(text: str, path: ListPath, name: str) -> str | None:
    """The text without the entry of that name; None if it has none. Raises UneditableYaml."""
    _, items = _find(text, path)
    nodes: list[yaml.Node] = items.value if isinstance(items, yaml.SequenceNode) else []
    number = next((n for n, node in enumerate(nodes) if _scalar(_member(node, path.name)) == name), None)
    if number is None:
        return None
    assert isinstance(items, yaml.SequenceNode)
    if items.flow_style:
        parts = [text[node.start_mark.index : node.end_mark.index] for node in nodes if node is not nodes[number]]
        new_text = text[: items.start_mark.index] + f"[{', '.join(parts)}]" + text[items.end_mark.index :]
    else:
        new_text = _without_lines(text, items, nodes[number], path)
    _check(text, new_text, path, removed=number)
    return new_text


def _find(text: str, path: ListPath) -> tuple[list[yaml.MappingNode], yaml.Node | None]:
    """The mappings on the way to the list, as many as there are, and the list's node. Raises UneditableYaml."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UneditableYaml(f"the file is not valid YAML: {explain(error)}") from None
    parents: list[yaml.MappingNode] = []
    for number, key in enumerate(path.keys):
        if node is None or (number == 0 and _is_null(node)):
            return parents, None
        if not isinstance(node, yaml.MappingNode):
            name = ".".join(path.keys[:number]) or "the file"
            raise UneditableYaml(f"`{name}` has no settings: remove that line, and try again")
        parents.append(node)
        node = _member(node, key)
    if node is not None and not isinstance(node, yaml.SequenceNode) and not _is_null(node):
        raise UneditableYaml(f"`{path}` is not a list: remove that line, and try again")
    return parents, node


def _member(node: yaml.Node, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _scalar(node: yaml.Node | None) -> str | None:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _flow(entry: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(entry), default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.strip()


def _lines(entry: Mapping[str, Any], *, one_line: bool) -> list[str]:
    """An entry of a list, line by line, from its dash on."""
    if one_line:
        return [f"- {_flow(entry)}"]
    block: str = yaml.safe_dump(dict(entry), sort_keys=False, width=110, allow_unicode=True)
    return [("- " if number == 0 else "  ") + line for number, line in enumerate(block.rstrip("\n").split("\n"))]


def _with_lines(text: str, items: yaml.SequenceNode, new: Sequence[str], eol: str) -> str:
    """The text with an entry after the last one of a list that is written line by line."""
    lines = text.splitlines(keepends=True)
    last = _last_line(items.value[-1])
    indent = " " * items.start_mark.column
    first = items.value[-1].start_mark.line
    gap = [eol] if first and not lines[first - 1].strip() else []  # the entries have empty lines between them
    if not lines[last].endswith("\n"):
        lines[last] += eol
    lines[last + 1 : last + 1] = [*gap, *(indent + line + eol for line in new)]
    return "".join(lines)


def _instead_of_nothing(text: str, items: yaml.Node, parent: yaml.MappingNode, new: Sequence[str], eol: str) -> str:
    """The text with an entry in lines of its own, where the list was empty."""
    if parent.flow_style:
        raise UneditableYaml("the list is written in braces: write the settings line by line, and try again")
    before, after = text[: items.start_mark.index].rstrip(" "), text[items.end_mark.index :]
    rest, newline, after = after.partition("\n")
    indent = " " * (parent.start_mark.column + 2)
    lines = "".join(indent + line + eol for line in new)
    return f"{before}{rest}{newline or eol}{lines}{after}"


def _with_section(text: str, path: ListPath, parents: Sequence[yaml.MappingNode], new: Sequence[str], eol: str) -> str:
    """The text with a list that it did not have."""
    if len(parents) < 2:
        keys = [f"{'  ' * number}{key}:" for number, key in enumerate(path.keys)]
        lines = [*keys, *("  " * len(keys) + line for line in new)]
        begin = text.rstrip() + eol * 2 if text.strip() else ""
        return begin + "".join(line + eol for line in lines)
    section = parents[-1]
    if section.flow_style:
        raise UneditableYaml(f"`{path.keys[-2]}` is written in braces: write its settings line by line, and try again")
    indent = " " * section.start_mark.column
    lines = [f"{path.keys[-1]}:", *(f"{indent}  {line}" for line in new)]
    return _inserted(text, section.start_mark.index, eol.join(lines) + eol + indent)


def _inserted(text: str, index: int, part: str) -> str:
    return text[:index] + part + text[index:]


def _last_line(node: yaml.Node) -> int:
    """The line in which a node's text ends. PyYAML lets a node in lines of its own end where the next one begins."""
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1])
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        key, value = node.value[-1]
        return max(_last_line(key), _last_line(value))
    end = node.end_mark
    return int(end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line)


def _without_lines(text: str, items: yaml.SequenceNode, node: yaml.Node, path: ListPath) -> str:
    """The text without the lines of an entry. Comments above it stay: they may be about the entries that follow."""
    lines = text.splitlines(keepends=True)
    first, last = node.start_mark.line, _last_line(node)
    while "-" not in lines[first].split("#")[0]:  # the dash is in a line of its own
        first -= 1
    if first and not lines[first - 1].strip() and last + 1 < len(lines) and not lines[last + 1].strip():
        last += 1  # of the empty lines around it, one stays
    kept = lines[:first] + lines[last + 1 :]
    if len(items.value) > 1:
        return "".join(kept)
    key = f"{path.keys[-1]}:"
    before = first - 1
    while before >= 0 and key not in kept[before].split("#")[0]:
        before -= 1
    if before < 0:
        raise UneditableYaml(f"`{path}` is written in a form that cannot be edited: edit the file itself")
    kept[before] = kept[before].replace(key, f"{key} []", 1)
    return "".join(kept)


def _check(
    old: str, new: str, path: ListPath, *, added: Mapping[str, Any] | None = None, removed: int | None = None
) -> None:
    """Raise UneditableYaml unless the new text says what the old one says, but for the entry."""
    try:
        expected, actual = read_yaml(old) or {}, read_yaml(new)
    except yaml.YAMLError as error:
        raise UneditableYaml(f"the file cannot be edited: {explain(error)}; edit the file itself") from None
    parent = expected
    for key in path.keys[:-1]:
        parent[key] = parent = parent.get(key) or {}
    items = parent[path.keys[-1]] = list(parent.get(path.keys[-1]) or [])
    if added is not None:
        items.append(dict(added))
    if removed is not None:
        del items[removed]
    if expected != actual:
        raise UneditableYaml("the file is written in a form that cannot be edited safely: edit the file itself")
