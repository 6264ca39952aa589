"""Errors of invalid requests name the field as the client wrote it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from contract import validation
from contract.errors import InvalidField, ServeError
from contract.tasks import all_tasks
from contract.validation import invalid_request, validate_json
from gateway.dialects import all_dialects

IMAGE = "aGVsbG8="


@pytest.mark.parametrize(
    ("task", "fields", "param"),
    [
        ("image-edit", {"prompt": "x", "image": 5}, "image"),
        ("image-edit", {"prompt": "x", "image": [IMAGE, 5]}, "image.1"),
        ("image-edit", {"prompt": "x", "image": IMAGE, "images": [5]}, "images.0"),
        ("detect", {"image": [IMAGE], "images": 5}, "images"),
        ("embeddings", {"image": [IMAGE], "images": {"a": 5}}, "images"),
        ("embeddings", {"input": 5}, "input"),
        ("segment", {"image": IMAGE, "prompt": ["cat", 5]}, "prompt.1"),
        ("features", {"image": IMAGE, "pooled": False}, "pooled"),
        ("analyze", {"image": [IMAGE, IMAGE]}, "image"),
        ("analyze", {"image": IMAGE, "task": "custom"}, "prompt"),
        ("caption", {"image": []}, "image"),
        ("chat", {"messages": [{"role": "user", "content": [{"image": 5}]}]}, "messages.0.content.0.type"),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "x " * 99}]}]}, "messages.0.content.0.type"),
        ("chat", {"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ("completions", {"prompt": ["a", 1]}, "prompt.1"),
        ("completions", {"prompt": [1, "a", 2, "b"]}, "prompt.1"),
        ("completions", {"prompt": [[1], "a"]}, "prompt.1"),
    ],
)
def test_names_the_field_as_the_client_wrote_it(task: str, fields: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidField) as error:
        all_tasks()[task].decode("application/json", json.dumps(fields).encode())
    assert error.value.param == param


@pytest.mark.parametrize(
    ("task", "fields", "message"),
    [
        ("chat", {"messages": []}, "`messages` must have at least 1 item."),
        ("chat", {"messages": [{"role": "user", "content": 5}]}, "`messages.0.content` must be a list or a string."),
        ("chat", {"tool_choice": 5}, "`tool_choice` must be 'none', 'auto', 'required' or 'any', or an object."),
        ("chat", {"temperature": 9}, "`temperature` must be at most 2."),
        ("chat", {"max_tokens": 1.5}, "`max_tokens` must be an integer."),
        ("chat", {"stream": "perhaps"}, "`stream` must be true or false."),
        ("chat", {"stop": ["x"] * 17}, "`stop` must have at most 16 items."),
        ("chat", {"seed": 1e40}, "`seed` is too large a number."),
        ("chat", {"response_format": "json"}, "`response_format` must be an object."),
        ("embeddings", {"input": "x", "encoding_format": "hex"}, "`encoding_format` must be 'float' or 'base64'."),
        ("rerank", {"query": "", "documents": ["a"]}, "`query` must have at least 1 character."),
        ("completions", {"prompt": ["a", ""]}, "`prompt`: prompt 1, counted from 0, is empty;"),
        ("embeddings", {"input": []}, "`input`: this list is empty: send at least one text or image."),
        ("embeddings", {"input": ["a", ""]}, "`input`: text 1, counted from 0, is empty;"),
    ],
)
def test_says_what_a_value_must_be(task: str, fields: dict[str, object], message: str) -> None:
    say = {"messages": [{"role": "user", "content": "x"}]} if task == "chat" else {}
    with pytest.raises(InvalidField) as error:
        all_tasks()[task].decode("application/json", json.dumps(say | fields).encode())
    assert error.value.message.startswith(message)
    assert error.value.param == message.split("`")[1]


def test_names_every_wrong_field() -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "temperature": 3, "n": 0, "stop": 5}
    with pytest.raises(InvalidField) as error:
        all_tasks()["chat"].decode("application/json", json.dumps(body).encode())
    assert [name for name in ("`n` ", "`stop` ", "`temperature` ") if name not in error.value.message] == []
    assert error.value.message.count("`") == 6


def test_number_of_named_fields_is_limited() -> None:
    body = {"messages": [], "verbosity": 1, "store": 7}
    body |= {name: [[]] for name in ("n", "seed", "stop", "top_p", "top_k", "min_p", "user", "audio")}
    with pytest.raises(InvalidField, match="3 more fields are wrong") as error:
        all_tasks()["chat"].decode("application/json", json.dumps(body).encode())
    assert error.value.param == "n"


SAY = {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": IMAGE}}]}
CALL = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {"a": [1]}}}]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
BOX = {"box": [0, 0, 1, 1], "points": [[0, 1]], "point_labels": [1], "text": "cat"}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("chat", {"messages": [SAY, CALL], "tools": [TOOL], "tool_choice": "auto", "response_format": SCHEMA, "seed": 1}),
    ("chat", {"messages": [SAY], "logit_bias": {"1": 1}, "stop": ["x"], "reasoning": {"effort": "low"}, "n": 1.0}),
    (
        "chat",
        {"messages": [SAY], "guided_json": "{}", "keep_alive": "5m", "top_p": "0.5", "stream": "yes", "extra": {}},
    ),
    ("embeddings", {"input": ["a", "b"], "dimensions": 8, "encoding_format": "float"}),
    ("embeddings", {"input": [[1, 2], [3]], "images": [IMAGE]}),
    ("segment", {"image": IMAGE, "prompts": [BOX], "prompt": ["cat"], "resolve_overlaps": [1, 0.5]}),
    ("detect", {"images": [IMAGE, IMAGE], "prompt": "a cat.", "threshold": 0.5}),
    ("image-edit", {"prompt": "x", "image": [IMAGE], "size": "64x64", "seed": 1}),
    ("image-generation", {"prompt": "x", "size": "64x64", "n": 1}),
    ("features", {"image": IMAGE, "pooled": True}),
    ("analyze", {"image": IMAGE, "task": "custom", "prompt": "x"}),
    ("crawl", {"urls": ["http://127.0.0.1/"], "wait_for": "x"}),
    ("ocr", {"images": [IMAGE], "languages": ["en"]}),
    ("depth", {"image": IMAGE}),
]


def models() -> Iterator[tuple[type[BaseModel], dict[str, Any]]]:
    """Models of requests, each with a request, also where it does not fit."""
    tasks = all_tasks()
    yield from ((tasks[name].request, fields) for name, fields in REQUESTS if name in tasks)
    for dialect in all_dialects().values():
        for route in dialect.routes:
            yield from ((route.request, fields) for _, fields in REQUESTS[-2:])


def altered(value: Any) -> Iterator[Any]:
    """The value, and others with one part of it replaced by something else."""
    yield from (value, 5, -1, 1e400, "x", "7", "", True, None, [], [[]], {}, "é" * 600)
    for key, part in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        for replacement in altered(part):
            changed = copy.copy(value)
            changed[key] = replacement
            yield changed


def outcome(model: type[BaseModel], body: bytes) -> tuple[Any, ...]:
    try:
        request = validate_json(model, body)
    except ServeError as error:
        return error.message, error.param
    except ValidationError as error:
        invalid = invalid_request(error)
        return invalid.message, invalid.param, error.error_count()
    return request.model_fields_set, request.model_dump_json()


def test_large_bodies_are_validated_like_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [(model, json.dumps(request).encode()) for model, fields in models() for request in altered(fields)]
    bodies += [(model, b'{"image":') for model, _ in models()]
    expected = [outcome(model, body) for model, body in bodies]
    monkeypatch.setattr(validation, "WHOLE", 0)
    for (model, body), small in zip(bodies, expected, strict=True):
        assert outcome(model, body) == small, (model, body)
