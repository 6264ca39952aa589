"""Editing a list in a YAML text: entries come and go, and every other line stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.yaml_file import read_yaml
from contract.yaml_lists import ListPath, UneditableYaml, with_entry, without_entry

MODELS = ListPath(("models",), "id")
ENTRY = {"id": "new", "engine": "fake", "options": {"text": "a: b", "list": [1, None]}, "note": "line\nline"}
OWN = (Path(__file__).parents[2] / "config.yaml").read_text()
FILES = {
    "our own": OWN,
    "comments everywhere": """\
# head
models:   # all of them
# chat
- id: a   # the first
  engine: fake

# images: these need a GPU
-   id: b
    options: {x: null}

# - id: old
#   engine: fake
gateway: {port: 8000}   # any
""",
    "in brackets": "models: [{id: a}, {id: b, engine: x}]   # two\nlogs:\n  keep: 3\n",
    "one line each": "models:\n  - {id: a}  # the first\n  - {id: b}\n  # the end\n",
    "no newline at the end": "models:\n  - id: a",
    "windows": "models:\r\n  - id: a   # the first\r\n    engine: fake\r\nlogs: {keep: 3}\r\n",
    "block scalar": "models:\n- id: a\n  text: |\n    one\n    two\n\n- id: b\n",
    "empty value": "models:\n- id: a\n  source:\n# more\nlogs:\n  keep: 1\n",
    "a dash of its own": "models:\n  -\n    id: a\n    engine: fake\n  -\n    id: b\n",
    "empty list": "models: []   # none yet\nlogs: {keep: 3}\n",
    "nothing": "models:   # none yet\nlogs: {keep: 3}\n",
    "no list": "logs: {keep: 3}   # mine\n",
    "empty file": "",
    "only comments": "# mine\n",
}


def kept(old: str, new: str) -> bool:
    """Whether all lines of a text are in another one, in the same order."""
    lines = iter(new.splitlines())
    return all(line in lines for line in old.splitlines() if line.strip())


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_added_entry_changes_no_other_line(text: str) -> None:
    before: dict[str, Any] = read_yaml(text) or {}
    longer = with_entry(text, MODELS, ENTRY)
    assert read_yaml(longer)["models"] == [*(before.get("models") or []), ENTRY]
    if "[" not in text.split("\n", maxsplit=1)[0]:
        assert kept(text, longer)
    for comment in ("# none yet", "# two", "# the first", "# mine"):
        assert (comment in longer) == (comment in text)
    assert longer.count("\r\n") == (longer.count("\n") if "\r\n" in text else 0)
    shorter = without_entry(longer, MODELS, "new")
    assert shorter is not None
    assert read_yaml(shorter) == {**before, "models": before.get("models") or []}


@pytest.mark.parametrize("text", [text for text in FILES.values() if "id: a" in text and text is not OWN])
def test_removed_entry_takes_only_its_own_lines(text: str) -> None:
    before = read_yaml(text)
    for entry in before["models"]:
        shorter = without_entry(text, MODELS, entry["id"])
        assert shorter is not None
        rest = [other for other in before["models"] if other is not entry]
        assert read_yaml(shorter) == {**before, "models": rest}
        comments = [line for line in text.splitlines() if line.lstrip().startswith("#")]
        assert all(comment in shorter.splitlines() for comment in comments)


def test_last_entry_leaves_an_empty_list() -> None:
    text = without_entry("models:   # all\n- id: a\n  engine: fake\n# the end\n", MODELS, "a")
    assert text == "models: []   # all\n# the end\n"


def test_unknown_name_removes_nothing() -> None:
    assert without_entry("models: [{id: a}]", MODELS, "b") is None
    assert without_entry("", MODELS, "b") is None


@pytest.mark.parametrize(
    "text",
    [
        "{logs: {keep: 3}, models: []}",
        "{logs: {keep: 3}}",
        "models: 3",
        "models: {a: 1}",
        "a: [",
        "- a",
        "x: &x [{id: a}]\nmodels: *x\n",
    ],
)
def test_unusable_forms_are_refused(text: str) -> None:
    with pytest.raises(UneditableYaml):
        with_entry(text, MODELS, ENTRY)


def test_entry_that_others_refer_to_is_not_removed() -> None:
    with pytest.raises(UneditableYaml):
        without_entry("models:\n- &a {id: a}\n- {<<: *a, id: b}\n", MODELS, "a")
