"""The worker's HTTP API, in real worker processes with the fake engine."""

from __future__ import annotations

import concurrent.futures
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.testbed.http import local_client
from tests.support import worker_process
from tests.support.hostile_bodies import HOSTILE, MIB, allowed, content_type
from tests.support.peak_memory import peak, reset
from tests.support.worker_process import Worker

CHAT = "/v1/chat/completions"
EMBED = "/v1/embeddings"


@pytest.fixture(scope="module")
def healthy() -> Iterator[Worker]:
    """A fake model without faults, shared by the tests that leave it unharmed."""
    entry = {"engine": "fake", "defaults": {"dimensions": 4, "max_tokens": 3}}
    with worker_process.worker(entry) as worker:
        yield worker


def chat(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def events(response: httpx2.Response) -> list[str]:
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = response.text.split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") for block in blocks)
    return [block.removeprefix("data: ") for block in blocks]


def contents(received: list[str]) -> str:
    chunks = [json.loads(event) for event in received if event != "[DONE]"]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was never met"
        time.sleep(0.005)


# Access and paths -------------------------------------------------------------------------------------------------


def test_only_health_needs_no_token(healthy: Worker) -> None:
    with local_client(base_url=healthy.url) as anyone:
        assert anyone.get("/healthz").json() == anyone.get("/health").json() == {"status": "healthy"}
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": healthy.token}):
            refused = anyone.post(EMBED, json={"input": "x"}, headers=headers)
            assert refused.status_code == 401
            assert refused.json()["error"]["code"] == "invalid_api_key"
        assert anyone.post("/shutdown").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", EMBED, 405, "method_not_allowed"),
        ("POST", "/v1/nothing", 404, "not_found"),
        ("POST", "/", 404, "not_found"),
    ],
)
def test_unknown_paths_and_wrong_methods(healthy: Worker, method: str, path: str, status: int, code: str) -> None:
    response = healthy.client.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_refuses_a_task_that_the_entry_does_not_list() -> None:
    with worker_process.worker({"engine": "fake", "tasks": ["chat"]}) as worker:
        refused = worker.post(EMBED, {"input": "x"})
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "unsupported_task"
        assert CHAT in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [(b"{", None), (b'{"input": 7}', "input"), (b"{}", "input"), (b'{"input": "x", "dimensions": 0}', "dimensions")],
)
def test_malformed_body_is_400(healthy: Worker, body: bytes, param: str | None) -> None:
    response = healthy.client.post(EMBED, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert (response.json()["error"]["param"] or "").startswith(param or "")


# Whole answers ----------------------------------------------------------------------------------------------------


def test_whole_response_and_its_headers(healthy: Worker) -> None:
    response = healthy.post(EMBED, {"input": ["one", "two"]}, x_request_id="mine")
    assert response.status_code == 200
    assert [item["index"] for item in response.json()["data"]] == [0, 1]
    assert response.headers["x-request-id"] == "mine"
    assert float(response.headers["server-timing"].removeprefix("infer;dur=")) >= 0


def test_entry_defaults_fill_missing_fields(healthy: Worker) -> None:
    def size(**fields: Any) -> int:
        return len(healthy.post(EMBED, {"input": "x", **fields}).json()["data"][0]["embedding"])

    assert (size(), size(dimensions=None), size(dimensions=7)) == (4, 4, 7)
    assert healthy.post(CHAT, chat("a b c d")).json()["choices"][0]["message"]["content"] == "a b c"


def test_folds_chunks_into_a_whole_response(healthy: Worker) -> None:
    whole = healthy.post(CHAT, chat("a b")).json()
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"]["content"] == "a b"
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}


def test_large_body_is_decoded(healthy: Worker) -> None:
    text = "word " * 500_000
    assert healthy.post(EMBED, {"input": text}).json()["usage"]["prompt_tokens"] == 500_000


# Streams ----------------------------------------------------------------------------------------------------------


def test_streams_server_sent_events_up_to_done(healthy: Worker) -> None:
    response = healthy.post(CHAT, chat("a b", stream=True))
    received = events(response)
    assert received[-1] == "[DONE]"
    assert contents(received) == "a b"
    assert "infer;dur=" in response.headers["server-timing"]
    assert all(json.loads(event)["usage"] is None for event in received[:-1])


def test_streams_usage_only_on_request(healthy: Worker) -> None:
    received = events(healthy.post(CHAT, chat("a b", stream=True, stream_options={"include_usage": True})))
    last = json.loads(received[-2])
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 4


def test_sends_chunks_as_soon_as_they_are_ready(tmp_path: Path) -> None:
    """The crash after the first word waits for a file that is created once that word has been read."""
    options = {"crash_mid_answer": True, "crash_gate": str(tmp_path / "go")}
    with worker_process.worker({"engine": "fake", "options": options}) as worker:
        with worker.client.stream("POST", CHAT, json=chat("first second", stream=True)) as response:
            lines = response.iter_lines()
            assert contents([next(lines).removeprefix("data: ")]) == "first"
            (tmp_path / "go").touch()
            with pytest.raises(httpx2.RemoteProtocolError):
                list(lines)
        assert worker.process.wait(30) == -signal.SIGKILL


def test_error_before_the_first_chunk_sets_the_status() -> None:
    with worker_process.worker({"engine": "fake", "options": {"fail_on_prompt": "poison"}}) as worker:
        response = worker.post(CHAT, chat("poison", stream=True))
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "inference_failed"
        assert worker.post(CHAT, chat("fine", stream=True)).status_code == 200


def test_error_mid_stream_is_an_event_without_done() -> None:
    with worker_process.worker({"engine": "fake", "options": {"raise_mid_answer": True}}) as worker:
        received = events(worker.post(CHAT, chat("first second", stream=True), x_request_id="r1"))
        error = json.loads(received[-1])["error"]
        assert contents(received[:-1]) == "first"
        assert (error["code"], error["request_id"]) == ("inference_failed", "r1")
        assert "raised mid-answer" in error["message"]
        assert "Traceback" in worker.log()


# Batches, disconnects, shutdown ----------------------------------------------------------------------------------


def gated(tmp_path: Path, **options: Any) -> dict[str, Any]:
    """An entry whose answers wait for the file `go`, and whose folder shows when work on them has started."""
    return {"engine": "fake", "options": {"gate": str(tmp_path / "go"), "started_dir": str(tmp_path), **options}}


def test_batches_requests_but_runs_retried_ones_alone() -> None:
    entry = {"engine": "fake", "options": {"batch_window_ms": 1000, "max_batch": 4}}
    with worker_process.worker(entry) as worker, concurrent.futures.ThreadPoolExecutor() as pool:

        def is_one_batch() -> bool:
            together = [pool.submit(worker.post, EMBED, {"input": "x"}) for _ in range(4)]
            return [answer.result(30).json()["batch"] for answer in together] == [4] * 4

        wait_until(is_one_batch)  # a busy machine may send the last one when the window has closed
        retried = [pool.submit(worker.post, EMBED, {"input": "x"}, x_enginehouse_attempt="2") for _ in range(2)]
        assert [answer.result(30).json()["batch"] for answer in retried] == [1] * 2


@pytest.mark.parametrize("stream", [False, True])
def test_disconnect_cancels_the_call(tmp_path: Path, stream: bool) -> None:
    with worker_process.worker(gated(tmp_path)) as worker:
        with worker.disconnecting_client(CHAT, chat("x", stream=stream), "gone"):
            wait_until((tmp_path / "gone").exists)
        wait_until((tmp_path / "gone.cancelled").exists)
        (tmp_path / "go").touch()
        assert worker.post(CHAT, chat("still here")).json()["choices"][0]["message"]["content"] == "still here"


def test_shutdown_finishes_requests_in_progress(tmp_path: Path) -> None:
    with worker_process.worker(gated(tmp_path)) as worker, concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(worker.post, EMBED, {"input": "x"}, x_request_id="first")
        wait_until((tmp_path / "first").exists)
        assert worker.post("/shutdown", {}).status_code == 200
        (tmp_path / "go").touch()
        assert answer.result(30).status_code == 200
        assert worker.process.wait(30) == 0


def test_sigterm_shuts_down_in_order() -> None:
    with worker_process.worker({"engine": "fake"}) as worker:
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == 0


def test_second_sigterm_exits_at_once(tmp_path: Path) -> None:
    with worker_process.worker(gated(tmp_path)) as worker, concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(worker.post, EMBED, {"input": "x"}, x_request_id="first")
        wait_until((tmp_path / "first").exists)
        worker.process.send_signal(signal.SIGTERM)
        wait_until(lambda: _refuses(worker))
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == 128 + signal.SIGTERM
        assert isinstance(answer.exception(30), httpx2.RemoteProtocolError | httpx2.ReadError)


def _refuses(worker: Worker) -> bool:
    try:
        with local_client(base_url=worker.url) as newcomer:
            newcomer.get("/healthz")
    except (httpx2.NetworkError, httpx2.RemoteProtocolError):  # refused, or closed if it was just being accepted
        return True
    return False


def test_out_of_memory_is_503_and_reported_to_the_manager() -> None:
    with worker_process.worker({"engine": "fake", "options": {"oom_on_prompt": "too much"}}) as worker:
        response = worker.post(EMBED, {"input": "too much"})
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "out_of_memory"
        assert response.headers["retry-after"] == "1"
        worker.wait_for("out_of_memory")
        assert worker.post(EMBED, {"input": "enough"}).status_code == 200


def test_worker_exits_when_its_gpu_context_is_lost() -> None:
    with worker_process.worker({"engine": "fake", "options": {"break_on_prompt": "poison"}}) as worker:
        with pytest.raises(httpx2.RemoteProtocolError):
            worker.post(EMBED, {"input": "poison"})
        assert worker.process.wait(30) == 1
        assert "device-side assert" in worker.log()


# Warnings ---------------------------------------------------------------------------------------------------------


def test_warns_of_unknown_fields(healthy: Worker) -> None:
    assert healthy.post(CHAT, chat("a b", user="me")).json().get("warnings") is None
    assert healthy.post(CHAT, chat("a b", odd=1)).json()["warnings"] == [
        "`odd` is not a known field and had no effect."
    ]
    assert healthy.post(EMBED, {"input": "a", "odd": 1}).json()["warnings"] == [
        "`odd` is not a known field and had no effect."
    ]


def test_first_chunk_has_the_warnings(healthy: Worker) -> None:
    chunks = events(healthy.post(CHAT, chat("a b c", stream=True, odd=1)))[:-1]
    warnings = [json.loads(chunk).get("warnings") for chunk in chunks]
    assert warnings == [["`odd` is not a known field and had no effect."], *[None] * (len(chunks) - 1)]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux has the high-water mark")
def test_hostile_bodies_need_little_memory() -> None:
    """A worker bounds them as the gateway does, which a local program with its token could pass by."""
    with worker_process.worker({"engine": "fake"}) as worker:
        worker.post(EMBED, {"input": "x"})
        pid, growth = worker.process.pid, {}
        for name, (path, body) in HOSTILE.items():
            before = reset(pid)
            answer = worker.client.post(path, content=body, headers={"content-type": content_type(body)})
            growth[name] = peak(pid) - before - allowed(body)
            print(f"{name}: {len(body) / MIB:.2f} MiB, {(peak(pid) - before) / MIB:.1f} MiB, {answer.text[:150]}")
        assert not {name for name, excess in growth.items() if excess > 0}
