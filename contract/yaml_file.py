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
