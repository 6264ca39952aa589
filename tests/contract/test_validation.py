"""Errors of invalid requests name the field as the client wrote it."""

from __future__ import annotations

import json

import pytest

from contract.errors import InvalidField
from contract.tasks import all_tasks

IMAGE = "aGVsbG8="


@pytest.mark.parametrize(
    ("task", "fields", "param"),
    [
        ("image-edit", {"prompt": "x", "image": 5}, "image"),
        ("image-edit", {"prompt": "x", "image": [IMAGE, 5]}, "image.1"),
        ("image-edit", {"prompt": "x", "image": IMAGE, "images": [5]}, "image.1"),
        ("detect", {"image": [IMAGE], "images": 5}, "images.1"),
        ("embeddings", {"image": [IMAGE], "images": {"a": 5}}, "images.1"),
        ("embeddings", {"input": 5}, "input"),
        ("segment", {"image": IMAGE, "prompt": ["cat", 5]}, "prompt.1"),
        ("features", {"image": IMAGE, "pooled": False}, "pooled"),
        ("analyze", {"image": [IMAGE, IMAGE]}, "images"),
        ("analyze", {"image": IMAGE, "task": "custom"}, "prompt"),
        ("caption", {"image": []}, "image"),
        ("chat", {"messages": [{"role": "user", "content": [{"image": 5}]}]}, "messages.0.content.0.type"),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "x " * 99}]}]}, "messages.0.content.0.type"),
        ("chat", {"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
    ],
)
def test_names_the_field_as_the_client_wrote_it(task: str, fields: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidField) as error:
        all_tasks()[task].decode("application/json", json.dumps(fields).encode())
    assert error.value.param == param
