"""Streams that wait for their model: a head, then comments or thoughts, then the answer or an error event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from scripts.testbed.server import PATIENCE, RunningServer, eventually, fake_model, in_background

ORIGIN = "https://page.example"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server and its models' gates are."""
    return tmp_path_factory.mktemp("signs")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    """A server whose models load once their gate is there; signs of life begin at once."""
    models = [fake_model(name, load_gate=str(folder / name)) for name in ("commented", "pondered", "sdk", "after")]
    models += [
        fake_model("never", load_gate=str(folder / "never"), max_queue=1),
        fake_model("failing", load_gate=str(folder / "failing"), fail_at_load="The weights are nowhere."),
        fake_model("refusing", load_gate=str(folder / "refusing"), fail_on_prompt="poison"),
    ]
    gateway = {"stream_wait": 0.1, "cors_origins": [ORIGIN]}
    with RunningServer(folder / "server", models, gateway=gateway) as running:
        yield running


@contextmanager
def stream(server: RunningServer, model: str, text: str = "one two", **headers: str) -> Iterator[httpx2.Response]:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": True}
    with server.stream("/v1/chat/completions", body, headers=headers) as response:
        yield response


def events(lines: Iterator[str]) -> list[Any]:
    """The JSON of the remaining events, without `[DONE]`."""
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(event) for event in data if event != "[DONE]"]


def content(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def test_comments_precede_the_answer(server: RunningServer, folder: Path) -> None:
    server.begin_loading("commented")
    with stream(server, "commented", **{"x-request-id": "mine", "origin": ORIGIN}) as response:
        lines = response.iter_lines()
        assert next(lines) == ": loading commented for the first time"
        assert (response.status_code, response.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
        assert response.headers["x-request-id"] == "mine"
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["server-timing"] == 'queue;desc="not over yet"'
        assert next(line for line in lines if line).startswith(": "), "the next sign follows before the model is ready"
        (folder / "commented").touch()
        rest = list(lines)
    assert content(events(iter(rest))) == "one two"
    assert [line for line in rest if line][-1] == "data: [DONE]"


def test_thoughts_say_what_happens(server: RunningServer, folder: Path) -> None:
    server.begin_loading("pondered")
    with stream(server, "pondered", **{"x-loading-messages": "reasoning"}) as response:
        lines = response.iter_lines()
        [first] = events(iter([next(lines)]))
        assert first["object"] == "chat.completion.chunk"
        assert first["choices"][0]["delta"]["reasoning_content"] == "Loading pondered for the first time.\n"
        (folder / "pondered").touch()
        chunks = events(lines)
    assert content(chunks) == "one two"
    thoughts = [choice["delta"].get("reasoning_content") for chunk in chunks for choice in chunk["choices"]]
    assert not any(thoughts), "what stays the same is not said again"


def test_sdk_reads_signs_and_answer(server: RunningServer, folder: Path) -> None:
    def read(headers: dict[str, str]) -> str:
        answer = server.client.chat.completions.create(
            model="sdk", messages=[{"role": "user", "content": "one two"}], stream=True, extra_headers=headers
        )
        return "".join(choice.delta.content or "" for chunk in answer for choice in chunk.choices)

    answers = [in_background(read, headers) for headers in ({}, {"x-loading-messages": "reasoning"})]
    eventually("both wait", lambda: server.model("sdk")["waiting"] == 2)
    (folder / "sdk").touch()
    assert [answer.result(PATIENCE) for answer in answers] == ["one two", "one two"]


def test_refusal_keeps_its_status(server: RunningServer) -> None:
    with stream(server, "never") as waiting:
        lines = waiting.iter_lines()  # kept, because the end of an iterator closes the response
        next(lines)
        with stream(server, "never") as refused:
            refused.read()
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_full")
    eventually("the queue is empty again", lambda: server.model("never")["waiting"] == 0)
    with stream(server, "after", **{"x-loading-messages": "loudly"}) as refused:
        refused.read()
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "X-Loading-Messages")


def test_disconnect_during_signs_frees_the_queue_place(server: RunningServer) -> None:
    with stream(server, "never") as response:
        assert response.status_code == 200
        lines = response.iter_lines()
        next(lines)
        assert server.model("never")["waiting"] == 1
    eventually("its place is free", lambda: server.model("never")["waiting"] == 0)


@pytest.mark.parametrize(
    ("model", "text", "code"),
    [("failing", "x", "model_load_failed"), ("refusing", "poison", "inference_failed")],
)
def test_later_failure_is_the_last_event(server: RunningServer, folder: Path, model: str, text: str, code: str) -> None:
    with stream(server, model, text) as response:
        lines = response.iter_lines()
        assert next(lines).startswith(": ")
        (folder / model).touch()
        rest = [line for line in lines if line]
    error = json.loads(rest[-1].removeprefix("data: "))["error"]
    assert (error["code"], error["request_id"]) == (code, response.headers["x-request-id"])
    assert "data: [DONE]" not in rest


def test_sdk_raises_a_later_failure(server: RunningServer, folder: Path) -> None:
    (folder / "failing").unlink(missing_ok=True)
    answer = in_background(
        lambda: list(
            server.client.chat.completions.create(
                model="failing", messages=[{"role": "user", "content": "x"}], stream=True
            )
        )
    )
    eventually("it waits or has failed", lambda: server.model("failing")["waiting"] or answer.done())
    (folder / "failing").touch()
    assert isinstance(answer.exception(PATIENCE), openai.APIError)
