"""Multipart forms: lists, objects, unknown files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract import long_texts
from contract.errors import BadRequest, InvalidField
from contract.long_texts import PIECE
from contract.media import images_in
from contract.multipart import MAX_JSON
from contract.tasks import Request, all_tasks

BOUNDARY = "between"


def form(**parts: bytes) -> bytes:
    """A form with these files."""
    head = '--{}\r\nContent-Disposition: form-data; name="{}"; filename="a.bin"\r\n\r\n'
    return b"".join(head.format(BOUNDARY, name).encode() + value + b"\r\n" for name, value in parts.items()) + (
        f"--{BOUNDARY}--\r\n".encode()
    )


def test_unknown_files_are_serializable_as_json() -> None:
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    request = all_tasks()["ocr"].decode(content_type, form(image=b"\x89PNG\xff", notes=b"\xff\xfe"))
    document = json.loads(request.model_dump_json(exclude_unset=True))
    assert document["image"] == "iVBOR/8="
    assert isinstance(document["notes"], str)


def test_file_in_a_field_of_text_is_text() -> None:
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    request = all_tasks()["detect"].decode(content_type, form(image=b"\x89PNG\xff", prompt="你好".encode()))
    assert request.model_dump()["prompt"] == "你好"
    with pytest.raises(InvalidField, match="`prompt` takes text"):
        all_tasks()["detect"].decode(content_type, form(image=b"\x89PNG\xff", prompt=b"\xff"))


def test_rejects_too_much_text_beyond_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    monkeypatch.setattr(long_texts, "MAX_WIDE", 1000)
    for body in (form(image=b"x", prompt="你".encode() * 1001), fields(("notes", "x" * 1000 + "你"))):
        with pytest.raises(BadRequest, match="beyond ASCII"):
            all_tasks()["detect"].decode(content_type, body)


def test_rejects_a_content_type_that_takes_long_to_parse() -> None:
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    assert all_tasks()["ocr"].decode(content_type, form(image=b"x"))
    with pytest.raises(BadRequest, match="Content-Type"):
        all_tasks()["ocr"].decode(content_type + ";" * 60_000, form(image=b"x"))


def fields(*parts: tuple[str, str]) -> bytes:
    """A form with these text fields and an image."""
    head = '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    body = "".join(head.format(BOUNDARY, name, text) for name, text in (("image", "iVBORw0KGgo="), *parts))
    return f"{body}--{BOUNDARY}--\r\n".encode()


def decode(task: str, *parts: tuple[str, str]) -> Request:
    return all_tasks()[task].decode(f"multipart/form-data; boundary={BOUNDARY}", fields(*parts))


@pytest.mark.parametrize(
    ("task", "parts", "field", "expected"),
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
def test_reads_lists(task: str, parts: list[tuple[str, str]], field: str, expected: Any) -> None:
    assert getattr(decode(task, *parts), field) == expected


def test_reads_objects_alone_and_in_lists() -> None:
    box, words = '{"boxes": [[1, 2, 3, 4]]}', '{"text": "cat"}'
    single, as_list, repeated = (
        decode("segment", *parts).model_dump()["prompts"]
        for parts in ([("prompts", box)], [("prompts", f"[{box}, {words}]")], [("prompts", box), ("prompts", words)])
    )
    assert (single, as_list) == (repeated[:1], repeated)
    assert [prompt["text"] for prompt in repeated] == [None, "cat"]


def test_rejects_deeply_nested_json() -> None:
    with pytest.raises(InvalidField, match=r"`prompts\.0`"):
        decode("segment", ("prompts", "[" * 100_000))


@pytest.mark.parametrize("task", ["ocr", "image-edit", "embeddings"])
def test_rejects_an_empty_file_as_image(task: str) -> None:
    with pytest.raises(InvalidField, match="`image`: send an image") as error:
        all_tasks()[task].decode(f"multipart/form-data; boundary={BOUNDARY}", form(image=b"", prompt=b"x"))
    assert error.value.param == "image"


def test_long_text_is_decoded_across_pieces() -> None:
    text = "x" * (PIECE - 1) + "é😀" * PIECE
    assert getattr(decode("segment", ("prompt", text)), "prompt") == text  # noqa: B009 - of this task alone
    with pytest.raises(InvalidField, match="`prompt` takes text"):
        all_tasks()["segment"].decode(
            f"multipart/form-data; boundary={BOUNDARY}", fields(("prompt", text)).replace(b"\x98", b"\xff")
        )


def test_too_much_json_stays_text() -> None:
    prompts = [{"text": "x" * MAX_JSON}]
    with pytest.raises(InvalidField, match="prompts"):
        decode("segment", ("prompts", json.dumps(prompts)))


def parts(*heads: str, content: bytes = b"\x89PNG\xff") -> bytes:
    """A form of parts with these heads and the same content."""
    body = b"".join(f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head in heads)
    return body + f"--{BOUNDARY}--\r\n".encode()


def decode_parts(task: str, body: bytes) -> Any:
    return all_tasks()[task].decode(f"multipart/form-data; boundary={BOUNDARY}", body)


@pytest.mark.parametrize(
    "names", [("image", "image[]"), ("image[]", "image"), ("image[0]", "image[1]"), ("image", "images"), ("image",) * 2]
)
def test_every_image_of_a_form_is_read(names: tuple[str, str]) -> None:
    for task in ("ocr", "features", "embeddings"):
        body = parts(*(f'Content-Disposition: form-data; name="{name}"; filename="a.png"' for name in names))
        assert [image.read() for image in images_in(decode_parts(task, body))] == [b"\x89PNG\xff"] * 2


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "\r\nContent-Type: image/png",
        "\r\nContent-Type: application/octet-stream",
        "; filename*=UTF-8''a%20b.png",
        "; filename=a.png",
        '; filename=""',
    ],
)
def test_a_file_needs_no_name(rest: str) -> None:
    body = parts(f'Content-Disposition: form-data; name="image"{rest}')
    assert [image.read() for image in images_in(decode_parts("ocr", body))] == [b"\x89PNG\xff"]


@pytest.mark.parametrize("task", ["ocr", "image-edit", "transcription"])
def test_empty_fields_of_a_form_are_not_given(task: str) -> None:
    model = all_tasks()[task].request
    file_field = "file" if task == "transcription" else "image"
    required = [("prompt", "a cat")] if task == "image-edit" else []
    names = model.model_fields.keys() - {file_field, *dict(required)}
    values = (*required, *((name, "") for name in sorted(names)))
    unchosen = b'Content-Disposition: form-data; name="mask"; filename=""\r\n\r\n\r\n'
    chosen = parts(f'Content-Disposition: form-data; name="{file_field}"; filename="a"')
    texts = b"".join(_text_part(*value) for value in values)
    request = decode_parts(task, texts + f"--{BOUNDARY}\r\n".encode() + unchosen + chosen)
    assert request.model_fields_set == {file_field, *dict(required)}


def _text_part(name: str, text: str) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
