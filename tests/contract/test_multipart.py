"""Requests that come as forms: the same as in JSON, whatever else the form holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.errors import InvalidField
from contract.tasks import Request, all_tasks

BOUNDARY = "between"


def form(**parts: bytes) -> bytes:
    """A form of these files."""
    head = '--{}\r\nContent-Disposition: form-data; name="{}"; filename="a.bin"\r\n\r\n'
    return b"".join(head.format(BOUNDARY, name).encode() + value + b"\r\n" for name, value in parts.items()) + (
        f"--{BOUNDARY}--\r\n".encode()
    )


def test_a_form_with_a_file_that_nobody_knows_can_go_on_as_json() -> None:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    request = all_tasks()["ocr"].decode(kind, form(image=b"\x89PNG\xff", notes=b"\xff\xfe"))
    document = json.loads(request.model_dump_json(exclude_unset=True))
    assert document["image"] == "iVBOR/8="
    assert isinstance(document["notes"], str)


def fields(*parts: tuple[str, str]) -> bytes:
    """A form of these texts, and a picture."""
    head = '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    body = "".join(head.format(BOUNDARY, name, text) for name, text in (("image", "iVBORw0KGgo="), *parts))
    return f"{body}--{BOUNDARY}--\r\n".encode()


def decode(task: str, *parts: tuple[str, str]) -> Request:
    return all_tasks()[task].decode(f"multipart/form-data; boundary={BOUNDARY}", fields(*parts))


@pytest.mark.parametrize(
    ("task", "parts", "field", "means"),
    [
        ("ocr", [("languages", "en")], "languages", ["en"]),
        ("ocr", [("languages", '["en", "de"]')], "languages", ["en", "de"]),
        ("features", [("layers", "1"), ("layers", "-1")], "layers", [1, -1]),
        ("detect", [("prompt", '["cat", "dog"]')], "prompt", ["cat", "dog"]),
        ("detect", [("prompt", "[cat]")], "prompt", "[cat]"),
        ("detect", [("prompt", "cat"), ("prompt", "dog")], "prompt", ["cat", "dog"]),
        ("image-edit", [("prompt", '["cat"]')], "prompt", '["cat"]'),
    ],
)
def test_lists_in_a_form(task: str, parts: list[tuple[str, str]], field: str, means: Any) -> None:
    assert getattr(decode(task, *parts), field) == means


def test_an_object_of_a_form_is_json_alone_or_in_a_list() -> None:
    box, words = '{"boxes": [[1, 2, 3, 4]]}', '{"text": "cat"}'
    alone, listed, again = (
        decode("segment", *parts).model_dump()["prompts"]
        for parts in ([("prompts", box)], [("prompts", f"[{box}, {words}]")], [("prompts", box), ("prompts", words)])
    )
    assert (alone, listed) == (again[:1], again)
    assert [prompt["text"] for prompt in again] == [None, "cat"]


def test_json_without_end_in_a_form_is_refused() -> None:
    with pytest.raises(InvalidField, match=r"`prompts\.0`"):
        decode("segment", ("prompts", "[" * 100_000))


@pytest.mark.parametrize("task", ["ocr", "image-edit", "embeddings"])
def test_an_empty_file_is_no_picture(task: str) -> None:
    with pytest.raises(InvalidField, match="`image`: send an image") as refused:
        all_tasks()[task].decode(f"multipart/form-data; boundary={BOUNDARY}", form(image=b"", prompt=b"x"))
    assert refused.value.param == "image"
