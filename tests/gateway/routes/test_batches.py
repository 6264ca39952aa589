"""Files and batches over HTTP, with OpenAI's SDK and a fake manager."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jwt
import openai
import pytest
from openai.types import Batch, FileObject

from tests.gateway.conftest import JWT_SECRET
from tests.support import peak_memory
from tests.support.gateway_processes import (
    FakeManagerProcess,
    GatewayProcess,
    configuration,
    eventually,
    run_gateway,
)
from tests.support.job_requests import CHAT

CHAT_PATH = "/v1/chat/completions"
ENDED = {"failed", "completed", "expired", "cancelled"}


def line(custom_id: str, body: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": CHAT_PATH, "body": body or CHAT, **fields}


def upload(sdk: openai.OpenAI, lines: Iterable[Any], purpose: Any = "batch") -> FileObject:
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)
    return sdk.files.create(file=("requests.jsonl", io.BytesIO(text.encode())), purpose=purpose)


def run(sdk: openai.OpenAI, lines: Iterable[Any], window: Any = "24h", endpoint: Any = CHAT_PATH) -> Batch:
    file = upload(sdk, lines)
    return sdk.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window=window)


def ended(sdk: openai.OpenAI, batch: Batch) -> Batch:
    """The batch once it has ended."""

    def state() -> Batch | None:
        found = sdk.batches.retrieve(batch.id)
        return found if found.status in ENDED else None

    found = eventually(state)
    assert found is not None
    return found


def content(sdk: openai.OpenAI, id_: str | None) -> dict[str, Any]:
    """The lines of an output file, by their custom ids."""
    if id_ is None:
        return {}
    rows = [json.loads(text) for text in sdk.files.content(id_).text.splitlines()]
    by_id = {row["custom_id"]: row for row in rows}
    assert len(by_id) == len(rows), "no request is answered twice"
    return by_id


def test_files_come_back_as_they_were(sdk: openai.OpenAI) -> None:
    data = bytes(range(256)) * 5000
    file = sdk.files.create(
        file=("ünicode.bin", data), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert (file.bytes, file.filename, file.purpose, file.object) == (len(data), "ünicode.bin", "user_data", "file")
    assert file.expires_at == file.created_at + 3600
    assert sdk.files.retrieve(file.id) == file
    assert sdk.files.content(file.id).read() == data
    assert sdk.files.delete(file.id).deleted
    for call in (sdk.files.retrieve, sdk.files.content, sdk.files.delete):
        with pytest.raises(openai.NotFoundError, match="There is no file"):
            call(file.id)


@pytest.mark.parametrize(("name", "expected"), [("", "file"), ("; filename*=UTF-8''zeil%C3%A9.jsonl", "zeilé.jsonl")])
def test_a_file_needs_no_plain_name(gateway: GatewayProcess, name: str, expected: str) -> None:
    data = bytes(range(256)) * 512  # more than a field of a form may have
    form = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"' + name.encode() + b"\r\n\r\n" + data + b"\r\n--b--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}
    file = gateway.http.post("/v1/files", content=form, headers=headers).json()
    assert (file.get("filename"), file.get("bytes")) == (expected, len(data)), file
    assert gateway.http.get(f"/v1/files/{file['id']}/content").content == data


def test_lists_of_files_page_and_filter(sdk: openai.OpenAI) -> None:
    files = [upload(sdk, ["{}"], "assistants") for _ in range(3)]
    ids = [file.id for file in files]
    listed = [file.id for file in sdk.files.list(purpose="assistants", limit=2)]  # reads all pages
    assert listed == ids[::-1]
    assert [file.id for file in sdk.files.list(purpose="assistants", order="asc", after=ids[0])] == ids[1:]
    with pytest.raises(openai.BadRequestError, match="limit"):
        sdk.files.list(limit=0)


def test_batch_answers_each_line_once(sdk: openai.OpenAI, gateway: GatewayProcess) -> None:
    lines = [line(f"request-{number}", {**CHAT, "user": str(number)}) for number in range(80)]
    wrong = [line("no model", {**CHAT, "model": "missing"}), line("no messages", {"model": "ok"})]
    wrong.append(line("streamed", {**CHAT, "stream": True}))
    jobs = gateway.http.get("/jobs?limit=1000").json()["count"]
    text = "\n" + json.dumps(wrong[0])  # an empty line is skipped
    batch = run(sdk, [*lines, text, *wrong[1:]])
    assert (batch.status, batch.endpoint, batch.object) == ("validating", CHAT_PATH, "batch")
    batch = ended(sdk, batch)
    assert batch.status == "completed"
    assert batch.request_counts
    assert batch.request_counts.to_dict() == {"total": 83, "completed": 80, "failed": 3}
    times = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at, batch.expires_at]
    assert times == sorted(times, key=lambda time: time or 0)
    outputs = content(sdk, batch.output_file_id)
    assert list(outputs) == [one["custom_id"] for one in lines], "in the order of the file"
    expected = gateway.http.post(CHAT_PATH, json=CHAT).json()
    assert all(row["response"]["body"] == expected for row in outputs.values())
    assert {row["response"]["status_code"] for row in outputs.values()} == {200}
    errors = content(sdk, batch.error_file_id)
    answers = {name: row["response"] for name, row in errors.items()}
    assert {name: (one["status_code"], one["body"]["error"]["code"]) for name, one in answers.items()} == {
        "no model": (404, "model_not_found"),
        "no messages": (400, "invalid_field"),
        "streamed": (400, "unsupported_feature"),
    }
    assert batch.id in [one.id for one in sdk.batches.list(limit=1)]
    assert gateway.http.get("/jobs?limit=1000").json()["count"] == jobs, "lines of a batch are not listed as jobs"


@pytest.mark.parametrize(
    ("endpoint", "body", "key"),
    [
        ("/v1/embeddings", {"model": "ok", "input": "x"}, "data"),
        ("/v1/messages", {"model": "ok", "max_tokens": 5, "messages": CHAT["messages"]}, "content"),
    ],
)
def test_every_task_can_be_in_a_batch(sdk: openai.OpenAI, endpoint: str, body: Any, key: str) -> None:
    batch = ended(sdk, run(sdk, [line("a", body, url=endpoint)], endpoint=endpoint))
    assert content(sdk, batch.output_file_id)["a"]["response"]["body"][key]


def test_files_that_cannot_run_are_explained_by_line(sdk: openai.OpenAI) -> None:
    lines = [
        line("a"), "{", "[]", line("a"), line(""), line("b", method="GET"), line("c", url="/v1/embeddings"),
        line("d", body="text"),
    ]  # fmt: skip
    batch = ended(sdk, run(sdk, lines))
    assert (batch.status, batch.output_file_id) == ("failed", None)
    assert batch.errors
    assert [(error.line, error.code) for error in batch.errors.data or []] == [
        (2, "invalid_json_line"),
        (3, "invalid_json_line"),
        (4, "duplicate_custom_id"),
        (5, "invalid_custom_id"),
        (6, "invalid_method"),
        (7, "mismatched_url"),
        (8, "invalid_body"),
    ]
    empty = ended(sdk, run(sdk, [""]))
    assert empty.errors
    assert [error.code for error in empty.errors.data or []] == ["empty_file"]


def test_cancelled_batch_keeps_what_has_ended(sdk: openai.OpenAI) -> None:
    hanging = [line(f"hangs {number}", {**CHAT, "model": "hangs"}) for number in range(70)]
    batch = run(sdk, [line("done"), *hanging])
    eventually(lambda: (sdk.batches.retrieve(batch.id).request_counts or batch).completed == 1)  # type: ignore[union-attr]
    with pytest.raises(openai.BadRequestError, match="Cancel it first"):
        sdk.files.delete(batch.input_file_id)
    assert sdk.batches.cancel(batch.id).status in {"cancelling", "cancelled"}
    batch = ended(sdk, batch)
    assert (batch.status, batch.cancelled_at is not None) == ("cancelled", True)
    assert list(content(sdk, batch.output_file_id)) == ["done"]
    errors = content(sdk, batch.error_file_id)
    assert list(errors) == [one["custom_id"] for one in hanging]
    assert {row["error"]["code"] for row in errors.values()} == {"batch_cancelled"}
    assert sdk.batches.cancel(batch.id).status == "cancelled"
    assert sdk.files.delete(batch.input_file_id).deleted


def test_batch_expires(sdk: openai.OpenAI) -> None:
    batch = ended(sdk, run(sdk, [line("late", {**CHAT, "model": "hangs"})], window="0.01s"))
    assert (batch.status, batch.expired_at is not None) == ("expired", True)
    assert content(sdk, batch.error_file_id)["late"]["error"]["code"] == "batch_expired"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"endpoint": "/v1/nothing"}, "endpoint"),
        ({"endpoint": "/v1/files"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "31d"}, "completion_window"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_wrong_fields_of_a_batch_are_named(gateway: GatewayProcess, fields: dict[str, Any], param: str) -> None:
    body = {"input_file_id": "file-x", "endpoint": CHAT_PATH, "completion_window": "24h", **fields}
    answer = gateway.http.post("/v1/batches", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_batch_needs_a_file_for_batches(sdk: openai.OpenAI) -> None:
    other = upload(sdk, [line("a")], "user_data")
    with pytest.raises(openai.BadRequestError, match="Upload it with `batch`"):
        sdk.batches.create(input_file_id=other.id, endpoint=CHAT_PATH, completion_window="24h")
    with pytest.raises(openai.NotFoundError):
        sdk.batches.create(input_file_id="file-missing", endpoint=CHAT_PATH, completion_window="24h")


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"data": {"purpose": "batch"}}, 400),
        ({"files": {"file": ("a", b"x")}}, 400),
        ({"files": {"file": ("a", b"x")}, "data": {"purpose": "nothing"}}, 400),
        ({"files": {"file": ("a", b"x")}, "data": {"purpose": "batch", "expires_after[seconds]": "-1"}}, 400),
        ({"json": {"purpose": "batch"}}, 400),
    ],
)
def test_uploads_that_are_wrong_are_refused(gateway: GatewayProcess, form: dict[str, Any], status: int) -> None:
    answer = gateway.http.post("/v1/files", **form)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, "invalid_request_error")


def test_limits_and_owners_of_files(secured: GatewayProcess) -> None:
    mine, admin = ({"x-api-key": name} for name in ("app-key", "gateway-key"))
    form = {"data": {"purpose": "batch"}}
    large = secured.http.post("/v1/files", files={"file": ("a", bytes(2**20 + 2**17))}, **form, headers=mine)
    assert (large.status_code, "jobs.max_file_mb" in large.json()["error"]["message"]) == (413, True)
    text = "".join(json.dumps(line(str(number))) + "\n" for number in range(4))
    file = secured.http.post("/v1/files", files={"file": ("a", text.encode())}, **form, headers=mine).json()
    body = {"input_file_id": file["id"], "endpoint": CHAT_PATH, "completion_window": "24h"}
    batch = secured.http.post("/v1/batches", json=body, headers=mine).json()
    url = f"/v1/batches/{batch['id']}"
    failed = eventually(lambda: secured.http.get(url, headers=mine).json()["errors"])
    assert [error["code"] for error in failed["data"]] == ["too_many_lines"]
    other = {"x-api-key": jwt.encode({"sub": "other", "exp": time.time() + 3600}, JWT_SECRET)}
    for path in (f"/v1/files/{file['id']}", f"/v1/files/{file['id']}/content", url):
        assert secured.http.get(path, headers=other).status_code == 404
        assert secured.http.get(path, headers=admin).status_code == 200
    for path in ("/v1/files", "/v1/batches"):
        assert secured.http.get(path, headers=other).json()["data"] == []
        assert secured.http.get(path).status_code == 401
    assert secured.http.post(f"{url}/cancel", headers=other).status_code == 404
    assert secured.http.delete(f"/v1/files/{file['id']}", headers=other).status_code == 404
    for headers in (other, admin):  # a batch reads files of its own key
        assert secured.http.post("/v1/batches", json=body, headers=headers).status_code == 404


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_files_pass_through_the_disk(gateway: GatewayProcess) -> None:
    size = 96 * 2**20
    before = peak_memory.reset(gateway.process.pid)
    answer = gateway.http.post("/v1/files", files={"file": ("a", bytes(size))}, data={"purpose": "batch"})
    assert answer.status_code == 200, answer.text
    url = f"/v1/files/{answer.json()['id']}"
    with gateway.http.stream("GET", f"{url}/content") as response:
        assert sum(len(piece) for piece in response.iter_bytes()) == size
    assert peak_memory.peak(gateway.process.pid) - before < size / 3
    assert gateway.http.delete(url).json()["deleted"]


@pytest.mark.e2e
def test_batch_survives_kills_of_the_gateway(tmp_path: Path, manager: FakeManagerProcess) -> None:
    settings = configuration(manager.port, jobs={"max_running": 2})
    lines = [line(f"request-{number}") for number in range(300)]
    id_, done = "", 0
    for kill in range(6):
        with run_gateway(tmp_path, settings) as gateway:
            gateway.wait_ready()
            with openai.OpenAI(base_url=f"{gateway.address}/v1", api_key="any", max_retries=0) as sdk:
                id_ = id_ or run(sdk, lines).id

                def more() -> bool:
                    counts = sdk.batches.retrieve(id_).request_counts  # noqa: B023 - called at once
                    return counts is not None and counts.completed > min(done, 250)  # noqa: B023 - called at once

                eventually(more)
                batch = sdk.batches.retrieve(id_)
                done = batch.request_counts.completed if batch.request_counts else 0
                if kill == 5:
                    batch = ended(sdk, batch)
                    assert list(content(sdk, batch.output_file_id)) == [one["custom_id"] for one in lines]
                    assert (batch.status, batch.error_file_id) == ("completed", None)
            gateway.process.kill()
        (gateway.home / "gateway" / "address").unlink(missing_ok=True)
