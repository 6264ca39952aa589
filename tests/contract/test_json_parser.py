"""Large JSON bodies are parsed in short steps, and the result is what the parser makes of the whole body."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from contract import json_parser, long_texts
from contract.errors import BadRequest
from contract.json_parser import end_of_piece, parse_checked, parse_json
from contract.long_texts import PIECE

MIB = 2**20
MIXED = 'plain, "quotes", \\ backslashes, \n\t\x00, é, 你好, 😀 and \U0010ffff; '


def in_tiny_steps(body: bytes) -> Any:
    """The value of a body that is parsed in steps of at most 32 bytes of text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_parser, "WHOLE", 0)
        patch.setattr(json_parser, "PIECE", 32)
        patch.setattr(json_parser, "_STAYS", 64)
        return parse_checked(body)


characters = st.text(st.sampled_from('a"\\/\n\x01é你😀\U0010ffff'), max_size=80)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | characters,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(characters, inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=100)
@given(documents, st.booleans(), st.sampled_from([None, 1]))
def test_values_equal_those_of_json(document: Any, ascii_only: bool, indent: int | None) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    assert in_tiny_steps(body) == json.loads(body)
    assert in_tiny_steps(body.replace(b"/", b"\\/")) == json.loads(body)


@settings(max_examples=100)
@given(
    characters, st.sampled_from(["\x01", "\\q", "\\u12g4", "\\ud83d", "\\ud83d\\u0041", "\\"]), characters, st.data()
)
def test_broken_strings_give_the_errors_of_the_parser(before: str, broken: str, after: str, data: Any) -> None:
    ascii_only = data.draw(st.booleans())
    first, last = (json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in (before, after))
    body = f'["{first}", {{"{first}": \n "{first}{broken}{last}", "{last}": 1}}]'.encode()
    assert error_of(in_tiny_steps, body) == error_of(from_json, body)


@settings(max_examples=100)
@given(documents, st.data())
def test_broken_documents_give_the_errors_of_the_parser(document: Any, data: Any) -> None:
    body = json.dumps(document, indent=data.draw(st.sampled_from([None, 1]))).encode()
    at = data.draw(st.integers(0, len(body)))
    for broken in (body[:at], body[:at] + b"x" + body[at:], body[:at] + b"\n}" + body[at + 1 :]):
        assert error_of(in_tiny_steps, broken) == error_of(from_json, broken)


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(["a" * 9, "你", "😀", "é"]), min_size=1, max_size=30),
    st.sampled_from([b"\xff", b"\xe4\xbd", b"\x80"]),
)
def test_invalid_utf8_gives_the_errors_of_the_parser(texts: list[str], invalid: bytes) -> None:
    body = b'["' + "".join(texts).encode() + invalid + b" " + "".join(texts).encode() + b'"]'
    assert error_of(in_tiny_steps, body) == error_of(from_json, body)


def error_of(parse: Callable[[bytes], Any], body: bytes) -> str:
    try:
        return str(parse(body)) and "no error"
    except ValueError as error:
        return str(error)


LARGE: dict[str, Callable[[], Any]] = {
    "a long text": lambda: {"messages": [{"role": "user", "content": MIXED * 9_000}]},
    "a long image": lambda: {"image": "data:image/png;base64," + base64.b64encode(os.urandom(MIB)).decode()},
    "a long key": lambda: {"a" * MIB: {MIXED * 4_000: 1}},
    "medium strings": lambda: {"input": [MIXED * 20 + str(number) for number in range(400)], MIXED * 99: MIXED * 99},
    "short strings": lambda: {"input": [MIXED + str(number) for number in range(9_000)]},
    "escaped text": lambda: {"arguments": json.dumps({"code": MIXED * 6_000})},
    "a text by itself": lambda: MIXED * 9_000,
    "a text that becomes wide late": lambda: "a" * 400_000 + "é" * 100_000 + "你" * 100_000 + "😀",
}


@pytest.fixture(name="handed")
def _handed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of every text that is given to the parser."""
    sizes: list[int] = []

    def measured(body: bytes, **options: Any) -> Any:
        sizes.append(len(body))
        return from_json(body, **options)

    monkeypatch.setattr(json_parser, "from_json", measured)
    return sizes


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("name", LARGE)
def test_large_body_is_parsed_in_short_steps(name: str, ascii_only: bool, handed: list[int]) -> None:
    document = LARGE[name]()
    body = json.dumps(document, ensure_ascii=ascii_only).encode()
    assert len(body) > json_parser.WHOLE
    assert parse_json(body) == document
    assert max(handed) < 3 * PIECE


def test_very_long_text_grows_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, "_AT_ONCE", PIECE)
    text = "".join(f"{number:8}" for number in range(PIECE))
    assert parse_json(json.dumps([text]).encode()) == [text]


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 4 * PIECE + 1])
def test_text_of_a_piece_comes_back(size: int) -> None:
    body = b'["' + b"x" * size + b'", "' + b"\\" * (size // 2 * 2) + b'"]' + b" " * json_parser.WHOLE
    assert parse_json(body) == json.loads(body)


def test_pieces_end_between_characters() -> None:
    text = b"\\\\" * 40 + b"\\ud83d\\ude00" * 20 + "😀".encode() * 20 + b'\\"' * 20
    at, pieces = 0, []
    while at < len(text):
        following = end_of_piece(text, at, len(text), 16)
        pieces.append(from_json(b'"' + text[at:following] + b'"'))
        at = following
    assert "".join(pieces) == from_json(b'"' + text + b'"')


@pytest.mark.parametrize("text", ["é" * 1001, "x" * 1000 + "😀"])
def test_rejects_too_much_text_beyond_ascii(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (json_parser, long_texts):
        monkeypatch.setattr(module, "MAX_WIDE", 1000)
    half = len(text) // 2
    for texts in ([text], [text[:half] + "é", text[half:] + "é"], {text: 1}):
        with pytest.raises(BadRequest, match="beyond ASCII"):
            in_tiny_steps(json.dumps(texts, ensure_ascii=False).encode())
    assert in_tiny_steps(json.dumps([text[:900], "x" * 2000]).encode()) == [text[:900], "x" * 2000]


def test_rejects_too_many_long_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_parser, "_NAMES", 1000)
    assert in_tiny_steps(json.dumps({"x" * 400: 1, "y" * 400: {"z" * 100: "v" * 2000}}).encode())
    with pytest.raises(BadRequest, match="names of the fields"):
        in_tiny_steps(json.dumps({"x" * 400: 1, "y" * 400: {"z" * 300: 1}}).encode())


@pytest.mark.parametrize("pieces", [["a" * 9, "é", "你"], ["é", "a" * 20], ["a" * 30, "b", "😀"], ["a"] * 40, [], [""]])
def test_joins_as_str_does(pieces: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, "_AT_ONCE", 8)
    assert long_texts.joined(pieces) == "".join(pieces)
