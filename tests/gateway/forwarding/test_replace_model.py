"""Replacing `model` in a JSON body, which leaves all other bytes unchanged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.forwarding.pieced_body import SMALL, PiecedBody
from gateway.forwarding.replace_model import replace_model

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("model"), inner),
    max_leaves=12,
)


def loads(body: bytes | PiecedBody) -> Any:
    assert isinstance(body, bytes)
    return json.loads(body)


@settings(max_examples=60)
@given(st.dictionaries(st.text(), JSON), st.none() | st.text(), st.booleans(), st.sampled_from([None, 2]))
def test_replaces_the_model_in_any_document(
    document: dict[str, Any], model: str | None, ascii_only: bool, indent: int | None
) -> None:
    document["model"] = model
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    assert loads(replace_model(body, 'a"b')) == document | {"model": 'a"b'}
    del document["model"]
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    assert loads(replace_model(body, "x")) == document | {"model": "x"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a","x":  1.10 }', b'{"model":"m","x":  1.10 }'),
        (b' { "x" : [ {"model":"a"} ] , "model" : null}', b' { "x" : [ {"model":"a"} ] , "model" : "m"}'),
        (b'{"mod\\u0065l":"a\\"}"}', b'{"mod\\u0065l":"m"}'),
        (b'{"model":"a","model":"b"}', b'{"model":"m","model":"m"}'),
        (b'{"x":"model","y":"\\\\"}', b'{"model":"m","x":"model","y":"\\\\"}'),
        (b"{ }", b'{"model":"m" }'),
    ],
)
def test_keeps_all_other_bytes(body: bytes, expected: bytes) -> None:
    assert replace_model(body, "m") == expected


async def test_large_body_is_not_joined() -> None:
    body = b'{"model":"a","x":"' + b"y" * SMALL + b'"}'
    replaced = replace_model(body, "m")
    assert isinstance(replaced, PiecedBody)
    for _ in range(2):  # a request may be sent again
        assert b"".join([chunk async for chunk in replaced.chunks()]) == body.replace(b'"a"', b'"m"')
    assert len(replaced) == len(body)
