"""A file is sent in pieces; an error before the first one sets the status, a later one breaks the file off."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message

from contract.config import ModelSpec
from contract.errors import EngineFailed
from contract.tasks import EncodedResponse
from contract.tasks.speech import SPEECH
from workers.app import App, BrokenOff
from workers.batchers import Batchers
from workers.engine import Call, Device, Engine, Output, serves


class Letters(Engine):
    """Sends a text letter by letter, and fails at each `!`."""

    def load(self, spec: ModelSpec, device: Device) -> None:
        pass

    @serves(SPEECH)
    def answer(self, calls: list[Call[Any]]) -> Iterator[tuple[Call[Any], Output]]:
        for call in calls:
            call.warnings.append("only letters")
            for letter in call.request.input:
                failed = EngineFailed("There is no such letter.")
                yield (
                    call,
                    failed if letter == "!" else EncodedResponse(media_type="audio/pcm", content=letter.encode()),
                )
            yield call, None


@pytest.fixture(name="app")
def _app() -> Iterator[App]:
    engine = Letters()
    batchers = Batchers(engine, Letters.Options(), lambda: None)
    thread = threading.Thread(target=batchers.model.run)
    thread.start()
    yield App(engine, ModelSpec(id="m", engine="fake"), batchers, "secret", lambda: None)
    batchers.stop()
    thread.join(30)


async def ask(app: App, text: str) -> list[Message]:
    """What the app sends. Raises what it raises."""
    sent: list[Message] = []
    body = [{"type": "http.request", "body": json.dumps({"input": text}).encode()}]

    async def receive() -> Message:
        return body.pop() if body else await asyncio.Future()

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer secret"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": SPEECH.path, "query_string": b"", "headers": headers}
    try:
        await app(scope, receive, send)
    except BrokenOff as error:
        sent.append({"type": "broken", "error": str(error)})
    return sent


async def test_pieces_have_one_head_with_the_warnings(app: App) -> None:
    head, *rest = await ask(app, "abc")
    headers = dict(head["headers"])
    assert (head["status"], headers[b"content-type"]) == (200, b"audio/pcm")
    assert json.loads(headers[b"x-enginehouse-warnings"]) == ["only letters"]
    assert b"content-length" not in headers
    assert b"".join(message["body"] for message in rest) == b"abc"
    assert [message.get("more_body", False) for message in rest][-1] is False


async def test_error_before_the_first_piece_sets_the_status(app: App) -> None:
    head, body = await ask(app, "!bc")
    assert head["status"] == 500
    assert json.loads(body["body"])["error"]["message"] == "There is no such letter."


async def test_later_error_breaks_the_file_off(app: App) -> None:
    sent = await ask(app, "ab!c")
    assert sent[0]["status"] == 200
    assert sent[-1] == {"type": "broken", "error": "There is no such letter."}
    assert all(message.get("more_body") for message in sent[1:-1])
