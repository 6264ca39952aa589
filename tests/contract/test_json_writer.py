"""Requests are written as JSON in short steps, with the bytes that pydantic writes."""

from __future__ import annotations

from typing import Any

import pytest

from contract.json_writer import json_pieces
from contract.long_texts import PIECE
from contract.media import ImageInput
from contract.tasks import all_tasks

LONG = 'plain, "quotes", \\ \n\x00, é, 你好, 😀; ' * 9_000


@pytest.mark.parametrize(
    ("task", "fields"),
    [
        (
            "chat",
            {"messages": [{"role": "user", "content": LONG, LONG: LONG}], "extra": [LONG, float("nan"), LONG], "n": 1},
        ),
        ("chat", {"messages": [{"role": "user", "content": "hi"}], "structured_outputs": {"json": {"type": "object"}}}),
        ("embeddings", {"input": ["a", LONG, "x" * (2 * PIECE)], "model": "m"}),
        ("ocr", {"images": ["aGVsbG8=", b"an upload " * PIECE], "file": b"\xfb\xff" * 3 * PIECE}),
        ("ocr", {"image": "aGVsbG8=", "files": ["text", b"", b"\xfb\xffx", b"y" * 4 * PIECE]}),
        (
            "chat",
            {
                "messages": [{"role": "user", "content": "hi"}],
                "extra": [[], {}, [[1] * 3000, ["a", LONG] * 3, "b" * 64], 1e300, -1.5, 2**70, None, True],
            },
        ),
    ],
)
def test_bytes_are_those_of_pydantic(task: str, fields: dict[str, Any]) -> None:
    request = all_tasks()[task].request.model_validate(fields)
    pieces = json_pieces(request)
    assert b"".join(pieces) == request.__pydantic_serializer__.to_json(request, exclude_unset=True)
    assert max(map(len, pieces)) <= 6 * PIECE
    assert sum(map(len, pieces)) > (len(pieces) // 2 - 1) * PIECE, "there are many small pieces"


@pytest.mark.parametrize("separator", [b"", b"\r\n", b" "])
def test_base64_of_many_windows_is_read(separator: bytes) -> None:
    content = bytes(range(256)) * 8_000
    text = ImageInput(content).as_text()
    lines = separator.join(text[start : start + 77].encode() for start in range(0, len(text), 77)).decode()
    assert ImageInput(f"data:image/png;base64,{lines}").read() == content
