"""How a dialect's routes run: queries side by side, answers in order, errors in the client's names, streams."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from contract.errors import ServeError
from contract.media import ImageInput
from contract.tasks.chat import CHAT, ChatRequest
from contract.tasks.detect import DETECT, DetectRequest
from contract.tasks.ocr import OCR, OcrRequest
from gateway.dialects import all_dialects
from gateway.dialects.dialect import (
    DialectRequest,
    DialectResponse,
    DialectRoute,
    StreamEvent,
    TaskAnswer,
    TaskQuery,
)
from gateway.forwarding.model_table import ModelTable
from tests.support.dialect_requests import DialectApp, dialect_app
from tests.support.gateway_processes import FakeManagerProcess, GatewayProcess
from tests.support.sample_images import png

IMAGE = ImageInput(png(40, 30)).as_text()


class TalkRequest(DialectRequest):
    """Says every text to a model."""

    texts: list[str]
    models: tuple[str, ...] = ("ok",)
    stream: bool = False


class TalkResponse(DialectResponse):
    """The replies in order."""

    replies: list[str]
    models: list[str]


def to_chat(request: TalkRequest, models: ModelTable) -> Sequence[TaskQuery]:
    named = [models.get(name).id for name in request.models]
    messages = ({"messages": [{"role": "user", "content": text}]} for text in request.texts)
    sent = zip(messages, named * len(request.texts), strict=False)
    return [
        TaskQuery(CHAT, ChatRequest(model=model, stream=request.stream, **body), {"messages": f"texts.{index}"})
        for index, (body, model) in enumerate(sent)
    ]


def from_chat(request: TalkRequest, answers: Sequence[TaskAnswer | ServeError]) -> TalkResponse:
    replies = [
        answer.response.choices[0].message.content if isinstance(answer, TaskAnswer) else answer.code
        for answer in answers
    ]
    models = [answer.model.id for answer in answers if isinstance(answer, TaskAnswer)]
    return TalkResponse(replies=replies, models=models)


class Letters:
    """Translates a stream into its texts."""

    def chunk(self, chunk: Any) -> Iterable[StreamEvent]:
        return [StreamEvent(chunk.choices[0].delta.content or "")]

    def close(self) -> Iterable[StreamEvent]:
        return [StreamEvent("end")]

    def fail(self, error: ServeError, request_id: str) -> Iterable[StreamEvent]:
        return [StreamEvent(f"{error.code} {request_id}")]


TALK = DialectRoute(
    "/test", "Talks", TalkRequest, TalkResponse, to_chat, from_chat, (CHAT,), {"texts": ["hi"]}, {},
    events=lambda _: Letters(), framing="ndjson",
)  # fmt: skip


@pytest.fixture
async def talk(manager: FakeManagerProcess, tmp_path: Path) -> AsyncIterator[DialectApp]:
    async with dialect_app(manager.port, tmp_path, [TALK]) as app:
        yield app


async def test_queries_run_as_requests_for_the_task(talk: DialectApp, manager: FakeManagerProcess) -> None:
    answer = await talk.post({"texts": ["a", "b"], "keep_alive": "5m", "odd": 1}, request_id="asked-in-a-dialect")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {
        "warnings": ["`odd` is not a known field and had no effect."],
        "replies": ["hello", "hello"],
        "models": ["ok", "ok"],
    }
    received = manager.received("asked-in-a-dialect")
    assert sorted(json.loads(record["body"])["messages"][0]["content"] for record in received) == ["a", "b"]
    assert {record["headers"]["x-enginehouse-keep-alive"] for record in received} == {"300.0"}
    assert (answer.scope["endpoint_label"], answer.scope["model"]) == ("/test", "ok")


async def test_only_query_keeps_its_server_timing(talk: DialectApp) -> None:
    assert "load;dur=2.0" in (await talk.post({"texts": ["a"]})).headers["server-timing"]


async def test_answers_are_in_order_and_models_logged(talk: DialectApp) -> None:
    answer = await talk.post({"texts": ["a", "b"], "models": ["dies-once", "fine"]}, request_id="in-order")
    assert answer.json()["models"] == ["dies-once", "ok"], "the first one was tried again"
    assert sorted(answer.scope["model"].split(",")) == ["dies-once", "ok"]


async def test_first_failure_is_the_answer_and_ends_the_rest(talk: DialectApp, manager: FakeManagerProcess) -> None:
    answer = await talk.post({"texts": ["a", "b"], "models": ["hangs", "refuses"]}, request_id="one-fails")
    assert (answer.status, answer.json()["error"]["code"]) == (503, "queue_full")
    assert answer.json()["error"]["request_id"] == "one-fails"
    while "one-fails" not in manager.control()["disconnected"]:
        pass


async def test_queries_fail_singly_where_the_api_allows_it(manager: FakeManagerProcess, tmp_path: Path) -> None:
    async with dialect_app(manager.port, tmp_path, [replace(TALK, partial=True)]) as app:
        answer = await app.post({"texts": ["a", "b", "c"], "models": ["ok", "refuses"]})
    assert answer.json()["replies"] == ["hello", "queue_full", "hello"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"texts": "hi"}, 400, "texts"),
        (b"{", 400, None),
        ({"texts": ["a"], "models": ["missing"]}, 404, "model"),
        ({"texts": ["a" * (10 * 2**20)]}, 413, None),
    ],
)
async def test_bad_requests_name_what_is_wrong(talk: DialectApp, body: Any, status: int, param: str | None) -> None:
    answer = await talk.post(body)
    assert (answer.status, answer.json()["error"]["param"]) == (status, param)


async def test_content_type_must_be_one_that_is_read(talk: DialectApp) -> None:
    answer = await talk.post({"texts": ["a"]}, headers={"content-type": "text/plain"})
    assert answer.status == 415
    assert "/test needs the Content-Type" in answer.json()["error"]["message"]


async def test_stream_is_translated_event_by_event(talk: DialectApp) -> None:
    answer = await talk.post({"texts": ["a"], "models": ["stream"], "stream": True})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.content == b"0 \n1 \n2 \nend\n"
    assert answer.scope["model"] == "stream"


async def test_stream_that_breaks_off_ends_in_an_error(talk: DialectApp) -> None:
    answer = await talk.post({"texts": ["a"], "models": ["dies-in-event"], "stream": True}, request_id="broken")
    assert (answer.status, answer.content) == (200, b"begun\nworker_died broken\n")


async def test_stream_that_is_refused_keeps_its_status(talk: DialectApp) -> None:
    answer = await talk.post({"texts": ["a"], "models": ["refuses"], "stream": True})
    assert (answer.status, answer.json()["error"]["code"]) == (503, "queue_full")


class LookRequest(DialectRequest):
    """Looks for something in every photo."""

    photos: list[ImageInput]
    word: str = "cat"


class LookResponse(BaseModel):
    """How many objects each photo shows."""

    counts: list[int]


def to_looks(request: LookRequest, _: ModelTable) -> Sequence[TaskQuery]:
    return [
        TaskQuery(
            DETECT,
            DetectRequest(model="detector", image=photo, prompt=request.word),
            {"image": f"photos.{index}"},
        )
        for index, photo in enumerate(request.photos)
    ]


def from_looks(_: LookRequest, answers: Sequence[TaskAnswer]) -> LookResponse:
    return LookResponse(counts=[len(answer.response.data[0].detections) for answer in answers])


LOOK = DialectRoute(
    "/test", "Looks", LookRequest, LookResponse, to_looks, from_looks, (DETECT,), {}, {}, {"prompt": "word"}
)


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"photos": [IMAGE, "!"]}, "photos.1", "neither base64"),
        ({"photos": [IMAGE, IMAGE, "http://127.0.0.1:9/x.png"]}, "photos.2", "127.0.0.1"),
        ({"photos": [IMAGE], "word": "."}, "word", "`word`: send a label"),
    ],
)
async def test_errors_have_the_clients_names(
    manager: FakeManagerProcess, tmp_path: Path, body: Any, param: str, words: str
) -> None:
    async with dialect_app(manager.port, tmp_path, [LOOK]) as app:
        assert (await app.post({"photos": [IMAGE, IMAGE]})).json() == {"counts": [1, 1]}
        answer = await app.post(body)
    error = answer.json()["error"]
    assert (answer.status, error["param"]) == (400, param)
    assert words in error["message"]


async def test_answer_of_another_form_is_an_error(manager: FakeManagerProcess, tmp_path: Path) -> None:
    def to_ocr(request: LookRequest, _: ModelTable) -> Sequence[TaskQuery]:
        return [TaskQuery(OCR, OcrRequest(model="reader", image=request.photos[0]))]

    async with dialect_app(manager.port, tmp_path, [replace(LOOK, to_task=to_ocr, tasks=(OCR,))]) as app:
        answer = await app.post({"photos": [IMAGE]})
    assert (answer.status, answer.json()["error"]["code"]) == (500, "inference_failed")
    assert "`usage`: this field is required" in answer.json()["error"]["message"]


async def test_selector_chooses_among_routes_at_one_path(manager: FakeManagerProcess, tmp_path: Path) -> None:
    routes = [TALK, replace(LOOK, selector="photos")]
    async with dialect_app(manager.port, tmp_path, routes) as app:
        assert (await app.post({"photos": [IMAGE]})).json() == {"counts": [1]}
        assert (await app.post({"texts": ["a"]})).json()["replies"] == ["hello"]
        assert (await app.post({"neither": 1})).json()["error"]["param"] == "texts"
        assert (await app.post(b"[")).status == 400


def test_every_route_is_in_the_reference_with_an_example(gateway: GatewayProcess) -> None:
    document = gateway.http.get("/openapi.json").json()
    assert all_dialects()
    described: set[str] = set()
    for dialect in all_dialects().values():
        assert {"name": dialect.title, "description": dialect.description} in document["tags"]
        for route in dialect.routes:
            if route.path in described:  # of several dialects at a path, the first is described
                continue
            described.add(route.path)
            operation = document["paths"][route.path]["post"]
            assert operation["tags"] == [dialect.title]
            assert operation["requestBody"]["content"]["application/json"]["example"] == route.example
            answer = operation["responses"]["200"]["content"]["application/json"]["example"]
            fields = route.response.model_fields
            if issubclass(route.response, RootModel):
                route.response.model_validate(answer)
            else:
                assert answer.keys() <= {field.serialization_alias or name for name, field in fields.items()}
            route.request.model_validate(route.example)


@pytest.mark.parametrize("path", ["/pc", "//pc/"])
def test_paths_of_dialects_are_found(gateway: GatewayProcess, path: str) -> None:
    assert gateway.http.post(gateway.address + path, json={}).status_code == 400
    assert gateway.http.get("/pc").status_code == 405
