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


def test_names_every_wrong_field() -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "temperature": 3, "n": 0, "stop": 5}
    with pytest.raises(InvalidField) as error:
        all_tasks()["chat"].decode("application/json", json.dumps(body).encode())
    assert [name for name in ("`n`: ", "`stop`: ", "`temperature`: ") if name not in error.value.message] == []
    assert error.value.message.count("`") == 6


def test_number_of_named_fields_is_limited() -> None:
    body = {"messages": [], "verbosity": 1, "store": 7}
    body |= {name: [[]] for name in ("n", "seed", "stop", "top_p", "top_k", "min_p", "user", "audio")}
    with pytest.raises(InvalidField, match="3 more fields are wrong") as error:
        all_tasks()["chat"].decode("application/json", json.dumps(body).encode())
    assert error.value.param == "messages"
