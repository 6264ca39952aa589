"""The bounds of JSON bodies: what is counted, what is not, and what finding strings and brackets costs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import BadRequest
from contract.json_bounds import MAX_NUMBER, MAX_OUTSIDE, MAX_PARTS, MAX_STRINGS, MAX_VALUES, check_json, tokens

LONG = '[{:,"\\' * 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * MAX_PARTS + b"0]",
        b"[" + b"{}," * MAX_PARTS + b"0]",
        b"[" * (MAX_PARTS + 1),
        b'{"x":[' + b"1," * (MAX_VALUES + 1) + b"0]}",
        b'{"x":"\\"' + b"," * MAX_VALUES + b'","y":[' + b'"",' * MAX_VALUES + b'""]}',
        b"{" + b",".join(b'"%d":0' % number for number in range(MAX_PARTS + 1)) + b"}",
    ],
)
def test_rejects_too_many_values(body: bytes) -> None:
    with pytest.raises(BadRequest, match="too many values"):
        check_json(body)


PADDING = b'"' + b"x" * 300_000 + b'",'


@pytest.mark.parametrize(
    ("body", "excess"),
    [
        (b"[" + b'"",' * (MAX_STRINGS + 1) + b"0]", "too many values"),
        (b"[" + PADDING + b" " * (MAX_OUTSIDE + 1) + b"1]", "too much outside of strings"),
        (b"x" * (MAX_OUTSIDE + 1), "too much outside of strings"),
        (b"[" + PADDING + b"1" * (MAX_NUMBER + 1) + b"]", "too long numbers"),
        (b"[" + PADDING + b"-0." + b"1" * 30 + b"e-" + b"0" * 30 + b"1]", "too long numbers"),
        # The number begins in one window of 64 KiB and ends in the next one.
        (b'["' + b"x" * (5 * 65_536 - 44) + b'",' + b"1" * (MAX_NUMBER + 1) + b"]", "too long numbers"),
    ],
)
def test_rejects_what_takes_long_to_parse(body: bytes, excess: str) -> None:
    with pytest.raises(BadRequest, match=excess):
        check_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + PADDING + b"1" * MAX_NUMBER + b"," + b"2" * MAX_NUMBER + b"]",
        b"[" + PADDING + b'"' + b"1" * 70_000 + b'", 1]',
        b"[" + PADDING + b'"' + b'\\"' * 100_000 + b"1" * 70_000 + b'\\\\", 1]',
        json.dumps({"input": [list(range(100_000, 100_300))] * 1000}).encode(),
    ],
)
def test_accepts_numbers_and_texts_of_digits(body: bytes) -> None:
    assert len(body) > 256 * 1024
    check_json(body)


@pytest.mark.parametrize(
    "document",
    [
        {"input": [list(range(1000))] * 300},
        {"text": LONG},
        {"text": LONG, "more": ["\\", '"', '\\"', LONG, ""]},
        {"messages": [{"role": "user", "content": "x"}] * 4096},
    ],
)
def test_accepts_long_texts_and_many_token_ids(document: dict[str, object]) -> None:
    check_json(json.dumps(document).encode())


@settings(max_examples=50)
@given(st.lists(st.text(st.sampled_from('"\\[]{},:a\n')), max_size=6))
def test_finds_strings_and_brackets(texts: list[str]) -> None:
    body = json.dumps([{text: [text]} for text in texts]).encode()
    found = [body[start:end] for start, end in tokens(body)]
    expected = [
        token
        for text in texts
        for token in (b"{", json.dumps(text).encode(), b"[", json.dumps(text).encode(), b"]", b"}")
    ]
    assert found == [b"[", *expected, b"]"]


@pytest.mark.parametrize(
    "body", [b'"', b'"\\', b'"a\\"', b'"' + b"\\\\" * 100_000, b"[" + b" " * 200_000 + b'"' + b"x" * 200_000]
)
def test_finds_strings_without_an_end(body: bytes) -> None:
    assert list(tokens(body))[-1][1] == len(body)
