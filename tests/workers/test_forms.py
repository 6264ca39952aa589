"""The form of an answer: what `Accept` asks for, and what there is not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import BaseModel

from contract.array import Array
from contract.errors import NotAcceptable
from workers import forms

ONE = np.arange(6, dtype="<f4").reshape(2, 3)


class Answer(BaseModel):
    first: Array
    second: Array | None = None


class Empty(BaseModel):
    """An answer without numbers."""


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, forms.JSON),
        ("*/*", forms.JSON),
        ("text/html, application/*;q=0.8", forms.JSON),
        ("application/json", forms.JSON),
        ("application/octet-stream", forms.BYTES),
        ("Application/X-NPZ", forms.NPZ),
        ("application/json;q=0.5, application/x-npz", forms.NPZ),
        ("application/octet-stream;q=0, application/x-npz;q=0.1", forms.NPZ),
        ("application/octet-stream, application/x-npz", forms.BYTES),
        ("application/x-npz;q=much", forms.JSON),
        ("image/png", forms.JSON),
    ],
)
def test_what_is_liked_most_is_sent(accept: str | None, kind: str) -> None:
    headers, _ = forms.wanted(accept)(Answer(first=Array.of(ONE)))
    assert dict(headers)[b"content-type"] == kind.encode()


def test_bytes_come_with_type_and_shape() -> None:
    headers, content = forms.wanted(forms.BYTES)(Answer(first=Array.of(ONE)))
    told = dict(headers)
    assert (told[b"x-array-dtype"], told[b"x-array-shape"]) == (b"float32", b"2,3")
    assert content == ONE.tobytes()


def test_bytes_come_with_what_is_noted_of_them() -> None:
    headers, _ = forms.wanted(forms.BYTES)(Answer(first=Array.of(ONE, notes={"unit": "metre"})))
    assert (b"x-array-unit", b"metre") in headers


def test_bytes_of_two_arrays_are_refused_with_what_to_ask_for() -> None:
    answer = Answer(first=Array.of(ONE), second=Array.of(ONE))
    with pytest.raises(NotAcceptable, match=r"holds 2 \(first, second\).*application/x-npz") as refused:
        forms.wanted(forms.BYTES)(answer)
    assert refused.value.status == 406
    assert refused.value.details["arrays"] == {"first": [2, 3], "second": [2, 3]}


def test_bytes_of_no_array_are_refused() -> None:
    with pytest.raises(NotAcceptable, match="holds 0"):
        forms.wanted(forms.BYTES)(Empty())


def test_json_is_the_answers_own() -> None:
    answer = Answer(first=Array.of(ONE))
    assert json.loads(forms.as_json(answer)[1]) == answer.model_dump(mode="json")
