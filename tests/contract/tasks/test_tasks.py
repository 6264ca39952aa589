"""Tasks: what a body means, the same at both ends, and what is said of a wrong one."""

from __future__ import annotations

import base64
import io
import json

import pytest
from PIL import Image

from contract.errors import BY_CODE, BadImage, BadRequest, InvalidField, NeverFits, UnsupportedMedia, from_envelope
from contract.media import ImageInput, field_path, images_in
from contract.tasks import all_tasks
from contract.tasks.chat import CHAT, ChatChunk, ChatRequest, fold
from contract.tasks.ocr import OCR

PNG = io.BytesIO()
Image.new("RGB", (4, 3)).save(PNG, "PNG")
ENCODED = base64.b64encode(PNG.getvalue()).decode()


def chat(**fields: object) -> ChatRequest:
    body = {"messages": [{"role": "user", "content": "x"}], **fields}
    return CHAT.decode("application/json", json.dumps(body).encode())


def test_every_task_has_a_path_of_its_own() -> None:
    paths = [task.path for task in all_tasks().values()]
    assert len(set(paths)) == len(paths)
    assert all(task.fold is not None for task in all_tasks().values() if task.chunk)


def test_json_and_multipart_mean_the_same() -> None:
    as_json = OCR.decode("application/json", json.dumps({"image": ENCODED, "keep_alive": 5}).encode())
    form = (
        b'--b\r\ncontent-disposition: form-data; name="keep_alive"\r\n\r\n5\r\n'
        b'--b\r\ncontent-disposition: form-data; name="image[]"; filename="a.png"\r\n\r\n'
        + PNG.getvalue()
        + b"\r\n--b--\r\n"
    )
    as_form = OCR.decode("multipart/form-data; boundary=b", form)
    assert as_json.all_images[0].read() == as_form.all_images[0].read() == PNG.getvalue()
    assert as_json.keep_alive == as_form.keep_alive == 5


def test_unknown_fields_are_kept() -> None:
    assert json.loads(chat(top_k=5).model_dump_json(exclude_unset=True))["top_k"] == 5


@pytest.mark.parametrize(
    ("kind", "body", "error", "words"),
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
def test_a_wrong_body(kind: str, body: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        CHAT.decode(kind, body)


@pytest.mark.parametrize(
    ("task", "fields", "param"),
    [
        ("image-edit", {"prompt": "x", "image": 5}, "image"),
        ("image-edit", {"prompt": "x", "image": [ENCODED, 5]}, "image.1"),
        ("image-edit", {"prompt": "x", "image": ENCODED, "images": [5]}, "image.1"),
        ("detect", {"image": [ENCODED], "images": 5}, "images.1"),
        ("embeddings", {"image": [ENCODED], "images": {"a": 5}}, "images.1"),
        ("embeddings", {"input": 5}, "input"),
        ("segment", {"image": ENCODED, "prompt": ["cat", 5]}, "prompt.1"),
        ("features", {"image": ENCODED, "pooled": False}, "pooled"),
        ("analyze", {"image": [ENCODED, ENCODED]}, "images"),
        ("analyze", {"image": ENCODED, "task": "custom"}, "prompt"),
        ("caption", {"image": []}, "image"),
        ("chat", {"messages": [{"role": "user", "content": [{"image": 5}]}]}, "messages.0.content.0.type"),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "x " * 99}]}]}, "messages.0.content.0.type"),
        ("chat", {"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
    ],
)
def test_a_refusal_names_the_field_as_the_client_wrote_it(task: str, fields: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidField) as refused:
        all_tasks()[task].decode("application/json", json.dumps(fields).encode())
    assert refused.value.param == param


def test_pictures_under_both_names_are_edited_together() -> None:
    body = json.dumps({"prompt": "x", "image": ENCODED, "images": [ENCODED]}).encode()
    assert len(all_tasks()["image-edit"].decode("application/json", body).all_images) == 2


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, set()),
        ({"tools": [], "logprobs": False, "response_format": {"type": "text"}, "tool_choice": "auto"}, set()),
        ({"tools": [{"type": "function"}]}, {"tools"}),
        ({"logprobs": True, "frequency_penalty": 0.5}, {"logprobs", "frequency_penalty"}),
        ({"messages": [{"role": "tool", "content": "x"}]}, {"tools"}),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ENCODED}}]}]},
            {"images"},
        ),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, {"input_audio"}),
    ],
)
def test_what_a_chat_needs_of_an_engine(fields: dict[str, object], needs: set[str]) -> None:
    assert chat(**fields).required_features() == needs


def test_pictures_are_found_wherever_they_are() -> None:
    part = {"type": "image_url", "image_url": {"url": ENCODED}}
    request = chat(messages=[{"role": "user", "content": [part, {"type": "text", "text": "?"}, part]}])
    found = list(images_in(request))
    assert [picture.read() for picture in found] == [PNG.getvalue()] * 2
    assert field_path(found[1], request) == "messages.0.content.2.image_url.url"
    assert field_path(None, request) is None


@pytest.mark.parametrize("form", [ENCODED, f"data:image/png;base64,{ENCODED}", PNG.getvalue()])
def test_forms_of_a_picture(form: str | bytes) -> None:
    picture = ImageInput(form)
    picture.check()
    assert picture.read() == PNG.getvalue()


@pytest.mark.parametrize("form", ["data:image/png,abc", "@@@", "aGVsbG8=", b"hello"])
def test_what_is_no_picture(form: str | bytes) -> None:
    with pytest.raises(BadImage):
        ImageInput(form).check()


@pytest.mark.parametrize("size", [(201, 1), (1, 201), (60_000, 1)])
def test_a_picture_far_longer_than_high_is_refused(size: tuple[int, int]) -> None:
    content = io.BytesIO()
    Image.new("1", size).save(content, "PNG")
    with pytest.raises(BadImage, match="at most 200 times"):
        ImageInput(content.getvalue()).check()


def test_a_picture_that_is_a_program_is_refused() -> None:
    with pytest.raises(BadImage, match="format is unknown"):
        ImageInput(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n").check()


def test_chunks_fold_to_the_whole() -> None:
    pieces = [("He", None), ("llo", None), (None, "length")]
    chunks = [
        ChatChunk.model_validate(
            {"id": "1", "created": 1, "model": "m",
             "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}
        )
        for text, reason in pieces
    ]  # fmt: skip
    choice = fold(chunks).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Hello", "length")


def test_an_error_survives_its_envelope() -> None:
    error = NeverFits("No.", param="model", details={"needs_bytes": 1})
    again = from_envelope(error.envelope("id"))
    assert (type(again), again.message, again.param, again.details) == (NeverFits, "No.", "model", {"needs_bytes": 1})
    assert again.headers == {"x-should-retry": "false"}
    assert all(kind.code == code for code, kind in BY_CODE.items())
