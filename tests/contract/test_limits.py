"""Every list and every text of every request has a limit, and validation ends with the first wrong item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from contract.limits import MAX_ITEMS, MAX_NAME, MAX_TEXT
from contract.tasks import all_tasks
from contract.validation import invalid_request

IMAGE = {"minLength": 1, "type": "string"}
SAY = {"role": "user", "content": "hi"}


def unbounded(schema: Any, path: str = "") -> Iterator[str]:
    """The paths of lists and texts without a limit in a JSON schema. Images are limited by the body's size."""
    if isinstance(schema, list):
        for part in schema:
            yield from unbounded(part, path)
    elif isinstance(schema, dict):
        kind, plain = schema.get("type"), {key: schema[key] for key in schema.keys() - {"title"}}
        is_text = kind == "string" and plain != IMAGE and not schema.keys() & {"maxLength", "enum", "const", "pattern"}
        if is_text or (kind == "array" and "maxItems" not in schema):
            yield path
        for key, part in schema.items():
            yield from unbounded(part, f"{path}.{key}")


def test_every_list_and_text_has_a_limit() -> None:
    assert [
        f"{task.name}{path}" for task in all_tasks().values() for path in unbounded(task.request.model_json_schema())
    ] == []


WRONG = [
    ("embeddings", {"input": [{}] * 4000}, "input.0"),
    ("embeddings", {"input": [[]] * 2049}, "input"),
    ("embeddings", {"input": [1] * (MAX_ITEMS + 1)}, "input"),
    ("embeddings", {"input": [["x"] * 2000] * 2000}, "input.0.0"),
    ("chat", {"messages": [SAY, *[{"role": "user", "content": 5}] * 4000]}, "messages.1.content"),
    ("chat", {"messages": [SAY] * (MAX_ITEMS + 1)}, "messages"),
    ("chat", {"messages": [SAY], "logit_bias": {str(number): "x" for number in range(40_000)}}, "logit_bias"),
    ("chat", {"messages": [{"role": "user", "content": "x" * (MAX_TEXT + 1)}]}, "messages.0.content"),
    ("chat", {"messages": [SAY], "model": "x" * (MAX_NAME + 1)}, "model"),
    ("segment", {"image": "aGk=", "prompts": [{f"a{number}": 1 for number in range(40_000)}]}, "prompts.0.a0"),
    ("segment", {"image": "aGk=", "prompts": [{"boxes": [[0] * 5] * 4000}]}, "prompts.0.boxes.0"),
    ("ocr", {"images": [5] * 4000}, "images.0"),
    ("image-edit", {"prompt": "x", "image": [5] * 4000}, "image.0"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "fields", "param"), WRONG, ids=[f"{task} {param}" for task, _, param in WRONG])
def test_stops_at_the_first_wrong_item(task: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ValidationError) as raised:
        all_tasks()[task].request.model_validate(fields)
    assert raised.value.error_count() < 30
    assert invalid_request(raised.value).param == param
