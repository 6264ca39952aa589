"""Forwarding: streams, responses that break off, retries, and clients that disconnect."""

from __future__ import annotations

import json
import uuid

import httpx2
import openai
import pytest

from tests.support.gateway_processes import FakeManagerProcess, GatewayProcess, eventually

SAY = [{"role": "user", "content": "hi"}]
PATH = "/v1/chat/completions"


def request(model: str) -> dict[str, object]:
    return {"model": model, "messages": SAY, "stream": True}


def test_sdk_streams(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.create(model="stream", messages=SAY, stream=True) as stream:  # type: ignore[call-overload]
        assert [chunk.choices[0].delta.content for chunk in stream] == ["0 ", "1 ", "2 "]


def test_passes_chunks_on_immediately(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    received = []
    with gateway.http.stream("POST", PATH, json=request("handshake")) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                received.append(json.loads(line[6:])["choices"][0]["delta"]["content"])
                manager.control("go")  # only now does the fake send the next one
    assert received == ["0", "1", "2", "3"]


@pytest.mark.parametrize("model", ["dies-in-stream", "dies-in-event", "ends-early"])
def test_interrupted_stream_ends_with_an_error_event(gateway: GatewayProcess, model: str) -> None:
    answer = gateway.http.post(PATH, json=request(model))
    events = [event for event in answer.text.split("\n\n") if event]
    error = json.loads(events[-1].removeprefix("data: "))["error"]
    assert error["code"] == "worker_died"
    assert error["request_id"] == answer.headers["x-request-id"]
    assert "begun" in events[0], "earlier chunks are passed on"
    assert all(json.loads(event.removeprefix("data: ")) for event in events), "no event is incomplete"
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize("model", ["dies-in-stream", "dies-in-event", "ends-early"])
def test_sdk_raises_on_an_interrupted_stream(sdk: openai.OpenAI, model: str) -> None:
    with (
        pytest.raises(openai.APIError, match="worker died"),
        sdk.chat.completions.create(model=model, messages=SAY, stream=True) as stream,  # type: ignore[call-overload]
    ):
        for _ in stream:
            pass


def test_response_without_a_first_byte_is_502(gateway: GatewayProcess) -> None:
    answer = gateway.http.post(PATH, json=request("dies-after-head"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "worker_died")


def test_interrupted_response_aborts_the_connection(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    with gateway.http.stream("POST", PATH, json=request("dies-in-answer")) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces).startswith(b"{")
        manager.control("go")  # the first bytes have arrived: now the worker dies
        with pytest.raises(httpx2.RemoteProtocolError):
            next(pieces)


def test_retries_when_the_worker_died_before_responding(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    request_id = uuid.uuid4().hex
    answer = gateway.http.post(PATH, json=request("dies-once"), headers={"x-request-id": request_id})
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    attempts = manager.received(request_id)
    assert [attempt["headers"]["x-enginehouse-attempt"] for attempt in attempts] == ["1", "2"]
    assert len({attempt["sha256"] for attempt in attempts}) == 1


def test_gives_up_after_three_dead_workers(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    request_id = uuid.uuid4().hex
    answer = gateway.http.post(PATH, json=request("dies-always"), headers={"x-request-id": request_id})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "request_killed_workers")
    assert error["details"] == {"log_tail": "Segmentation fault", "exit_code": -11, "attempts": 3}
    assert len(manager.received(request_id)) == 3


def test_does_not_retry_after_the_deadline(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    request_id = uuid.uuid4().hex
    answer = gateway.http.post(PATH, json=request("dies-slowly"), headers={"x-request-id": request_id})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_passed")
    assert len(manager.received(request_id)) == 1


def test_passes_the_managers_errors_through(gateway: GatewayProcess) -> None:
    answer = gateway.http.post(PATH, json=request("refuses"))
    error = answer.json()["error"]
    assert (answer.status_code, answer.headers["retry-after"], error["code"]) == (503, "3", "queue_full")
    assert error["details"] == {"waiting": 64}


@pytest.mark.parametrize("model", ["hangs", "hangs-in-stream"])
def test_cancels_upstream_when_the_client_disconnects(
    gateway: GatewayProcess, manager: FakeManagerProcess, model: str
) -> None:
    request_id = uuid.uuid4().hex
    body = json.dumps(request(model)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    with gateway.connect() as client:
        client.sendall(f"{head}x-request-id: {request_id}\r\n\r\n".encode() + body)
        eventually(lambda: manager.received(request_id))
        received = b""
        while model == "hangs-in-stream" and b"begun" not in received:
            received += client.recv(65536)
    eventually(lambda: request_id in manager.control()["disconnected"])
