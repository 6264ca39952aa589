"""The text of the configuration file as people edit it elsewhere: its secrets are hidden, its problems have lines.

PyYAML says where each value is; the text around the hidden values stays as it is, comments included.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from contract.config import ConfigError
from contract.credentials import holds_secrets, is_secret
from contract.yaml_file import problem_of

HIDDEN = "(hidden)"
"""What stands for a secret. Left as it is in an edited text, it means the secret that the file has there."""

_NAMES = ("id", "name")
"""Keys that name an entry of a list, so that it is found again wherever it is moved."""

Path = tuple[str | int, ...]


class ConfigurationProblem(BaseModel):
    """What is wrong with a text, in `line` and `column` (both from 1) if that is known; `key` is where in the file."""

    message: str
    line: int | None = None
    column: int | None = None
    key: str | None = None


class UnusableText(Exception):
    """A text that cannot be the configuration, for these reasons."""

    def __init__(self, problems: Sequence[ConfigurationProblem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = list(problems)


def etag_of(text: str) -> str:
    """What identifies a text: two editors that began with the same one cannot both save."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def hidden(text: str) -> str:
    """The text with its secrets hidden. Raises UnusableText if it cannot be shown without them."""
    shown = text
    for _, node in reversed(list(_secrets(_compose(text)))):
        start, end = _span(node, text)
        shown = f'{shown[:start]}"{HIDDEN}"{shown[end:]}'
    try:
        comes_back = revealed(shown, text) == text
    except UnusableText:
        comes_back = False
    if not comes_back:  # such as a secret with an anchor, to which other values refer
        message = "A secret is written in a form that cannot be hidden: edit the file itself, on its machine."
        raise UnusableText([ConfigurationProblem(message=message)])
    return shown


def revealed(text: str, original: str) -> str:
    """The text with the secrets that `original` has at the same places. Raises UnusableText."""
    known = {path: original[slice(*_span(node, original))] for path, node in _secrets(_compose(original))}
    for path, node in reversed(list(_secrets(_compose(text)))):
        if node.value != HIDDEN:
            continue
        if path not in known:
            message = f"`{_dotted(path)}` is hidden, and the file has no such value: write the value itself."
            raise UnusableText([_problem(message, node.start_mark, path)])
        start, end = _span(node, text)
        text = text[:start] + known[path] + text[end:]
    return text


def without_secrets(value: Any, key: str = "") -> Any:
    """Settings as JSON, whose secrets are hidden."""
    if isinstance(value, Mapping):
        if holds_secrets(key):
            return dict.fromkeys(value, HIDDEN)
        return {name: without_secrets(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item, key) for item in value]
    return HIDDEN if value and is_secret(key) else value


def problems_of(error: ConfigError, text: str) -> list[ConfigurationProblem]:
    """What an error says, each with its line in the text as far as it is known."""
    try:
        root = _compose(text)
    except UnusableText as broken:
        return broken.problems
    if not error.problems:
        return [ConfigurationProblem(message=str(error), line=_line_of_model(str(error), root))]
    found = []
    for loc, message in error.problems:
        node = _node_at(root, loc)
        key = ".".join(map(str, loc)) or None
        found.append(_problem(message, node.start_mark if node else None, (), key))
    return found


def line_of(text: str, path: Path) -> int | None:
    """The line of a value, or of the closest thing around it that there is."""
    node = _node_at(_compose(text), path)
    return node.start_mark.line + 1 if node else None


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"This is not valid YAML: {problem_of(error)}"
        raise UnusableText([_problem(message, mark, ())]) from None
    except yaml.YAMLError as error:
        raise UnusableText([ConfigurationProblem(message=f"This is not valid YAML: {error}")]) from None


def _span(node: yaml.Node, text: str) -> tuple[int, int]:
    """Where a value begins and ends. PyYAML lets one in lines of its own end where the next thing begins."""
    start, end = node.start_mark.index, node.end_mark.index
    return start, start + len(text[start:end].rstrip())


def _secrets(
    node: yaml.Node | None, path: Path = (), *, inside: bool = False
) -> Iterator[tuple[Path, yaml.ScalarNode]]:
    """The scalars that are secrets, in the order of the text; each once, however many aliases it has."""
    seen: set[int] = set()
    for found_path, scalar in _walk(node, path, inside=inside):
        if scalar.start_mark.index not in seen and scalar.value and scalar.tag != "tag:yaml.org,2002:null":
            seen.add(scalar.start_mark.index)
            yield found_path, scalar


def _walk(
    node: yaml.Node | None, path: Path, *, inside: bool, depth: int = 0
) -> Iterator[tuple[Path, yaml.ScalarNode]]:
    if depth > 50:
        return
    if isinstance(node, yaml.ScalarNode) and inside:
        yield path, node
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            secret = inside or holds_secrets(key.value) or is_secret(str(key.value))
            yield from _walk(value, (*path, str(key.value)), inside=secret, depth=depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _walk(item, (*path, _name_of(item, number)), inside=inside, depth=depth + 1)


def _name_of(item: yaml.Node, number: int) -> str | int:
    members = item.value if isinstance(item, yaml.MappingNode) else []
    names = [value.value for key, value in members if key.value in _NAMES and isinstance(value, yaml.ScalarNode)]
    return str(names[0]) if names else number


def _node_at(root: yaml.Node | None, loc: Sequence[str | int]) -> yaml.Node | None:
    """The value at a place that pydantic names; of a wrong key, the key; else the closest thing around it."""
    node = root
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if entry is None:
                return node
            node = (
                entry[1] if isinstance(entry[1], yaml.MappingNode | yaml.SequenceNode) and part != loc[-1] else entry[0]
            )
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            return node
    return node


def _line_of_model(message: str, root: yaml.Node | None) -> int | None:
    """The line of the entry that a message about a model names."""
    models = _node_at(root, ("models", 0))
    named = re.search(r"model (\S+):", message)
    if models is None or not named or not isinstance(root, yaml.MappingNode):
        return None
    items = next((value for key, value in root.value if key.value == "models"), None)
    for number, item in enumerate(items.value if isinstance(items, yaml.SequenceNode) else ()):
        if _name_of(item, number) == named[1]:
            return int(item.start_mark.line) + 1
    return None


def _problem(message: str, mark: yaml.Mark | None, path: Path, key: str | None = None) -> ConfigurationProblem:
    if mark is None:
        return ConfigurationProblem(message=message, key=key or _dotted(path) or None)
    line, column = mark.line + 1, mark.column + 1
    return ConfigurationProblem(message=message, line=line, column=column, key=key or _dotted(path) or None)


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))
