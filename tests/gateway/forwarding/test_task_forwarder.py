"""Task calls that do not come from an HTTP path, and what of a call is forwarded."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.config import Settings
from contract.errors import ModelNotFound, QueueFull, UnsupportedFeature
from contract.json_writer import json_pieces
from contract.tasks.chat import CHAT, ChatRequest, ChatResponse
from gateway.forwarding.captured_response import CapturedResponse
from gateway.forwarding.image_fetcher import ImageFetcher
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.forwarding.task_forwarder import TaskCall, TaskForwarder
from tests.support.gateway_processes import FakeManagerProcess, configuration

MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**fields: object) -> ChatRequest:
    return ChatRequest.model_validate({"messages": MESSAGES, **fields})


@pytest.fixture
async def forwarder(manager: FakeManagerProcess, tmp_path: Path) -> AsyncIterator[TaskForwarder]:
    client = ManagerClient(Settings.model_validate(configuration(manager.port)), tmp_path)
    async with client.opened():
        yield TaskForwarder(client, ModelDirectory(client), ImageFetcher(2**20))


async def test_answers_a_request_without_a_body(forwarder: TaskForwarder, manager: FakeManagerProcess) -> None:
    body = await forwarder.ask(CHAT, chat(model="fine", odd=1), "asked")
    assert ChatResponse.model_validate_json(body).choices[0].message.content == "hello"
    [received] = manager.received("asked")
    assert json.loads(received["body"]) == {"model": "fine", "messages": MESSAGES, "odd": 1}
    assert received["headers"]["content-type"] == "application/json"


async def test_raises_the_errors_of_gateway_and_manager(forwarder: TaskForwarder) -> None:
    with pytest.raises(ModelNotFound):
        await forwarder.ask(CHAT, chat(model="missing"), "r")
    with pytest.raises(UnsupportedFeature):
        await forwarder.ask(CHAT, chat(model="ok", logprobs=True), "r")
    with pytest.raises(QueueFull):
        await forwarder.ask(CHAT, chat(model="refuses"), "r")


async def test_records_the_model_and_releases_the_request(forwarder: TaskForwarder) -> None:
    call = TaskCall(CHAT, chat(), "r")
    await forwarder.forward(call, CapturedResponse())
    assert call.model == "ok", "the default model for chat"
    assert call.body is None
    assert not hasattr(call, "request")


@pytest.mark.parametrize(("max_wait", "expected"), [(math.inf, 50), (600, 50), (0.5, 0.5), (0, 0)])
async def test_a_call_can_only_shorten_the_wait(forwarder: TaskForwarder, max_wait: float, expected: float) -> None:
    prepared = await forwarder.prepare(TaskCall(CHAT, chat(model="ok"), "r", max_wait=max_wait))
    assert prepared.max_wait == expected


async def test_streams_to_any_send(forwarder: TaskForwarder) -> None:
    response = CapturedResponse()
    await forwarder.forward(TaskCall(CHAT, chat(model="stream", stream=True), "r"), response)
    assert response.body().endswith(b"data: [DONE]\n\n")


def test_serializing_keeps_unknown_fields_and_fetched_images() -> None:
    part = {"type": "image_url", "image_url": {"url": "http://x/", "detail": "low"}, "odd": 1}
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}], "extra": [1]}
    request = CHAT.decode("application/json", json.dumps(body).encode())
    request.messages[0].content[0].image_url.url.value = "data:image/png;base64,AA=="  # type: ignore[index, union-attr]
    part["image_url"]["url"] = "data:image/png;base64,AA=="  # type: ignore[index]
    assert json.loads(b"".join(json_pieces(request))) == body
