"""Tasks: paths, and decoding the same request from JSON and from a form."""

from __future__ import annotations

import base64
import io
import json
from operator import attrgetter
from typing import Any

import pytest
from PIL import Image

from contract.errors import BadRequest, InvalidField, UnsupportedMedia
from contract.tasks import Request, Task, all_tasks
from contract.tasks.chat import CHAT
from contract.tasks.ocr import OCR

PNG = io.BytesIO()
Image.new("RGB", (4, 3)).save(PNG, "PNG")
ENCODED = base64.b64encode(PNG.getvalue()).decode()


def test_every_task_has_its_own_path() -> None:
    paths = [task.path for task in all_tasks().values()]
    assert len(set(paths)) == len(paths)
    assert all(task.fold is not None for task in all_tasks().values() if task.chunk)


def test_fields_without_defaults_exist() -> None:
    for task in all_tasks().values():
        request: type[Request] = task.request
        assert request.no_defaults <= set(request.model_fields)


def test_json_and_multipart_decode_to_the_same_request() -> None:
    as_json = OCR.decode("application/json", json.dumps({"image": ENCODED, "keep_alive": "5m"}).encode())
    form = (
        b'--b\r\ncontent-disposition: form-data; name="keep_alive"\r\n\r\n5m\r\n'
        b'--b\r\ncontent-disposition: form-data; name="image[]"; filename="a.png"\r\n\r\n'
        + PNG.getvalue()
        + b"\r\n--b--\r\n"
    )
    as_form = OCR.decode("multipart/form-data; boundary=b", form)
    assert as_json.all_images[0].read() == as_form.all_images[0].read() == PNG.getvalue()
    assert as_json.keep_alive == as_form.keep_alive == 300


@pytest.mark.parametrize(
    ("content_type", "body", "error", "words"),
    [
        ("application/json", b"{", BadRequest, "not valid JSON"),
        ("application/json", b"{}", InvalidField, "`messages`"),
        (
            "application/json",
            b'{"messages": [{"role": "user", "content": [{"type": "text"}]}]}',
            InvalidField,
            "`text`",
        ),
        ("text/plain", b"", UnsupportedMedia, "text/plain"),
    ],
)
def test_rejects_a_wrong_body(content_type: str, body: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        CHAT.decode(content_type, body)


@pytest.mark.parametrize("task", all_tasks().values(), ids=attrgetter("name"))
def test_null_means_that_a_field_is_not_given(task: Task[Any, Any]) -> None:
    request = task.decode("application/json", json.dumps(task.example).encode())
    nulls = dict.fromkeys(task.request.model_fields.keys() - task.example.keys())
    same = task.decode("application/json", json.dumps({**task.example, **nulls}).encode())
    assert same.model_dump_json(exclude_unset=True) == request.model_dump_json(exclude_unset=True)


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"input": [1, 2]}, [("input", "input_tokens")]),
        ({"input": [{"image": ENCODED}]}, [("input", "images")]),
        ({"image": ENCODED}, [("image", "images")]),
        ({"images": [ENCODED]}, [("images", "images")]),
        ({"messages": [{"role": "user", "images": [ENCODED], "content": []}]}, [("messages", "images")]),
        ({"messages": [{"role": "user", "content": "a"}]}, []),
        ({"input": [{"text": "a"}, {"image": ENCODED}]}, [("input", "images")]),
        ({"input": "a", "embedding_type": "base64", "normalized": True}, []),
        ({"input": "a", "embedding_type": "ubinary"}, [("embedding_type", "embedding_type")]),
        ({"input": "a", "late_chunking": True}, [("late_chunking", "late_chunking")]),
    ],
)
def test_embeddings_name_the_field_that_was_sent(fields: dict[str, Any], needs: list[tuple[str, str]]) -> None:
    request = all_tasks()["embeddings"].decode("application/json", json.dumps(fields).encode())
    assert request.requirements() == needs


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": [{"role": "user", "content": [*2 * [{"type": "text", "text": "a"}]]}]}, "have 2 parts"),
        ({"messages": []}, "have 0 parts"),
        ({"input": [{"image": ENCODED, "text": "a"}]}, "input"),
        ({}, "this field is required"),
    ],
)
def test_a_vector_is_made_of_one_text_or_one_image(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidField, match=words):
        all_tasks()["embeddings"].decode("application/json", json.dumps(fields).encode())


def test_jinas_embedding_type_is_the_encoding() -> None:
    body = b'{"input": "a", "embedding_type": "base64"}'
    assert all_tasks()["embeddings"].decode("application/json", body).encoding_format == "base64"
