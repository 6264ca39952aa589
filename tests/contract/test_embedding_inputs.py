"""Inputs of embeddings: an error names the field that the client sent, in the form in which it was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from contract.errors import BadRequest
from contract.tasks.embeddings import EmbeddingsRequest
from contract.validation import invalid_request, validate_json


def refusal(value: Any) -> BadRequest:
    with pytest.raises(ValidationError) as raised:
        validate_json(EmbeddingsRequest, json.dumps({"input": value}).encode())
    return invalid_request(raised.value)


@pytest.mark.parametrize(
    ("value", "param", "message"),
    [
        ([{"type": "text", "text": 5}], "input.0.text", "must be a string"),
        (["a", {"type": "text"}], "input.1.text", "this field is required"),
        ([{"text": None}], "input.0.text", "must be a string"),
        ([{"type": "image_url"}], "input.0.image_url", "this field is required"),
        ([{"image": 5}], "input.0.image", "send an image as"),
        ([{"image": "AAAA", "zoom": 1}], "input.0.zoom", "not permitted"),
        ([{"type": "video", "video": "x"}], "input.0", 'an input is a text, {"image": …}, or a part'),
        ([{"content": "x"}], "input.0", "an input is a text"),
        (["a", 5], "input.1", "an input is a text"),
        (["a", None], "input.1", "an input is a text"),
        ([True], "input.0", "an input is a text"),
        ([1, "a"], "input.1", "must be an integer"),
        ([[1], ["a"]], "input.1.0", "must be an integer"),
    ],
)
def test_error_names_what_was_sent(value: Any, param: str, message: str) -> None:
    error = refusal(value)
    assert error.param == param
    assert message in error.message


@pytest.mark.parametrize("value", ["a", ["a", "b"], [1, 2], [[1], [2, 3]], [{"text": "a"}, "b"]])
def test_every_form_is_read(value: Any) -> None:
    request = validate_json(EmbeddingsRequest, json.dumps({"input": value}).encode())
    assert json.loads(request.model_dump_json())["input"] == value
