"""Formats of a response: what `Accept` asks for, and what cannot be sent."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from contract.arrays import Array
from contract.errors import EngineFailed, NotAcceptable
from contract.tasks.embeddings import EmbeddingsResponse
from workers import content_negotiation

ONE = np.arange(6, dtype="<f4").reshape(2, 3)


class Answer(BaseModel):
    first: Array
    second: Array | None = None


class Empty(BaseModel):
    """A response without arrays."""


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, content_negotiation.JSON),
        ("*/*", content_negotiation.JSON),
        ("text/html, application/*;q=0.8", content_negotiation.JSON),
        ("application/json", content_negotiation.JSON),
        ("application/octet-stream", content_negotiation.BYTES),
        ("Application/X-NPZ", content_negotiation.NPZ),
        ("application/json;q=0.5, application/x-npz", content_negotiation.NPZ),
        ("application/octet-stream;q=0, application/x-npz;q=0.1", content_negotiation.NPZ),
        ("application/octet-stream, application/x-npz", content_negotiation.BYTES),
        ("application/x-npz;q=much", content_negotiation.JSON),
        ("image/png", content_negotiation.JSON),
    ],
)
def test_sends_the_preferred_format(accept: str | None, kind: str) -> None:
    headers, _ = content_negotiation.writer_for(accept)(Answer(first=Array.from_numpy(ONE)))
    assert dict(headers)[b"content-type"] == kind.encode()


def test_bytes_have_dtype_and_shape_headers() -> None:
    headers, content = content_negotiation.writer_for(content_negotiation.BYTES)(Answer(first=Array.from_numpy(ONE)))
    told = dict(headers)
    assert (told[b"x-array-dtype"], told[b"x-array-shape"]) == (b"float32", b"2,3")
    assert content == ONE.tobytes()


def test_bytes_have_metadata_headers() -> None:
    headers, _ = content_negotiation.writer_for(content_negotiation.BYTES)(
        Answer(first=Array.from_numpy(ONE, metadata={"unit": "metre"}))
    )
    assert (b"x-array-unit", b"metre") in headers


def test_refuses_bytes_of_two_arrays() -> None:
    answer = Answer(first=Array.from_numpy(ONE), second=Array.from_numpy(ONE))
    with pytest.raises(NotAcceptable, match=r"has 2 \(first, second\).*application/x-npz") as refused:
        content_negotiation.writer_for(content_negotiation.BYTES)(answer)
    assert refused.value.status == 406
    assert refused.value.details["arrays"] == {"first": [2, 3], "second": [2, 3]}


def test_refuses_bytes_of_no_array() -> None:
    with pytest.raises(NotAcceptable, match="has 0"):
        content_negotiation.writer_for(content_negotiation.BYTES)(Empty())


def test_json_is_the_response_itself() -> None:
    answer = Answer(first=Array.from_numpy(ONE))
    assert json.loads(content_negotiation.as_json(answer)[1]) == answer.model_dump(mode="json")


@pytest.mark.parametrize("accept", [content_negotiation.BYTES, content_negotiation.NPZ])
def test_warnings_of_formats_without_a_place_are_a_header(accept: str) -> None:
    class Warned(Answer):
        warnings: list[str]

    headers, _ = content_negotiation.writer_for(accept)(Warned(first=Array.from_numpy(ONE), warnings=["nö"]))
    assert json.loads(dict(headers)[b"x-enginehouse-warnings"]) == ["nö"]


def test_what_breaks_its_schema_is_no_answer() -> None:
    broken: Any = EmbeddingsResponse.model_construct(model="m", data=[object()], usage=object())
    for answer, reason in ((broken, "cannot be written as JSON"), ({"not": "one"}, "of the type dict"), (None, "None")):
        with pytest.raises(EngineFailed, match=reason) as caught:
            content_negotiation.to_json(answer)
        assert "pydantic" not in caught.value.message.lower()
