"""Streams, deaths in the middle, retries, and clients that leave."""

from __future__ import annotations

import json
import uuid

import httpx2
import openai
import pytest

from tests.support.gateway_processes import Gateway, Manager, eventually

SAY = [{"role": "user", "content": "hi"}]
PATH = "/v1/chat/completions"


def ask(model: str) -> dict[str, object]:
    return {"model": model, "messages": SAY, "stream": True}


def test_sdk_streams(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.create(model="stream", messages=SAY, stream=True) as stream:  # type: ignore[call-overload]
        assert [chunk.choices[0].delta.content for chunk in stream] == ["0 ", "1 ", "2 "]


def test_each_chunk_is_here_before_the_next_is_made(gateway: Gateway, manager: Manager) -> None:
    got = []
    with gateway.http.stream("POST", PATH, json=ask("handshake")) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                got.append(json.loads(line[6:])["choices"][0]["delta"]["content"])
                manager.control("go")  # only now does the fake make the next
    assert got == ["0", "1", "2", "3"]


@pytest.mark.parametrize("model", ["dies-in-stream", "dies-in-event"])
def test_a_stream_that_breaks_off_ends_with_an_error_and_no_done(gateway: Gateway, model: str) -> None:
    answer = gateway.http.post(PATH, json=ask(model))
    events = [event for event in answer.text.split("\n\n") if event]
    error = json.loads(events[-1].removeprefix("data: "))["error"]
    assert error["code"] == "worker_died"
    assert error["request_id"] == answer.headers["x-request-id"]
    assert "begun" in events[0], "what came before is passed on"
    assert "[DONE]" not in answer.text


def test_sdk_raises_on_a_stream_that_breaks_off(sdk: openai.OpenAI) -> None:
    with (
        pytest.raises(openai.APIError, match="worker died"),
        sdk.chat.completions.create(model="dies-in-stream", messages=SAY, stream=True) as stream,  # type: ignore[call-overload]
    ):
        for _ in stream:
            pass


def test_a_whole_answer_without_a_first_byte_is_a_clean_502(gateway: Gateway) -> None:
    answer = gateway.http.post(PATH, json=ask("dies-after-head"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "worker_died")


def test_a_whole_answer_that_breaks_off_is_never_ended_cleanly(gateway: Gateway, manager: Manager) -> None:
    with gateway.http.stream("POST", PATH, json=ask("dies-in-answer")) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces).startswith(b"{")
        manager.control("go")  # the first bytes are here: now the worker dies
        with pytest.raises(httpx2.RemoteProtocolError):
            next(pieces)


def test_what_never_began_is_tried_again(gateway: Gateway, manager: Manager) -> None:
    request_id = uuid.uuid4().hex
    answer = gateway.http.post(PATH, json=ask("dies-once"), headers={"x-request-id": request_id})
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    notes = manager.seen(request_id)
    assert [note["headers"]["x-enginehouse-attempt"] for note in notes] == ["1", "2"]
    assert len({note["sha256"] for note in notes}) == 1


def test_a_request_that_kills_workers_is_given_up_with_their_last_words(gateway: Gateway, manager: Manager) -> None:
    request_id = uuid.uuid4().hex
    answer = gateway.http.post(PATH, json=ask("dies-always"), headers={"x-request-id": request_id})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "request_killed_workers")
    assert error["details"] == {"log_tail": "Segmentation fault", "exit_code": -11, "attempts": 3}
    assert len(manager.seen(request_id)) == 3


def test_no_attempt_after_the_deadline(gateway: Gateway, manager: Manager) -> None:
    request_id = uuid.uuid4().hex
    answer = gateway.http.post(PATH, json=ask("dies-slowly"), headers={"x-request-id": request_id})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_passed")
    assert len(manager.seen(request_id)) == 1


def test_the_managers_own_errors_pass_as_they_are(gateway: Gateway) -> None:
    answer = gateway.http.post(PATH, json=ask("refuses"))
    error = answer.json()["error"]
    assert (answer.status_code, answer.headers["retry-after"], error["code"]) == (503, "3", "queue_full")
    assert error["details"] == {"waiting": 64}


@pytest.mark.parametrize("model", ["hangs", "hangs-in-stream"])
def test_a_client_that_leaves_is_noticed_upstream(gateway: Gateway, manager: Manager, model: str) -> None:
    request_id = uuid.uuid4().hex
    with httpx2.Client(base_url=gateway.address, timeout=httpx2.Timeout(20, read=0.5)) as client:
        request = client.build_request("POST", PATH, json=ask(model), headers={"x-request-id": request_id})
        if model == "hangs-in-stream":
            answer = client.send(request, stream=True)
            assert next(answer.iter_lines()).startswith("data:")
            answer.close()
        else:
            with pytest.raises(httpx2.ReadTimeout):
                client.send(request)
    eventually(lambda: request_id in manager.control("left")["left"])
