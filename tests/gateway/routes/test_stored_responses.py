"""Responses that are kept: continued, retrieved, listed, deleted, and made in the background."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from contract.config.responses import StoredResponseSettings
from contract.errors import NotFound
from gateway.responses.store import ResponseStore, StoredResponse
from scripts.testbed.server import RunningServer, eventually, fake_model


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    gate = tmp_path_factory.mktemp("started")
    slow = fake_model("slow", step_seconds=0.05, started_dir=str(gate))
    with RunningServer(tmp_path_factory.mktemp("responses"), [fake_model("echo"), slow]) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> OpenAI:
    return server.client


def test_continues_a_stored_response(client: OpenAI) -> None:
    first = client.responses.create(model="echo", input="one two", metadata={"a": "b"})
    second = client.responses.create(model="echo", input="three", previous_response_id=first.id)
    assert (second.output_text, second.previous_response_id) == ("three", first.id)
    alone = client.responses.create(model="echo", input="three")
    assert second.usage is not None
    assert alone.usage is not None
    assert second.usage.input_tokens == alone.usage.input_tokens + 4  # both sides of the first turn
    assert client.responses.retrieve(first.id).metadata == {"a": "b"}
    assert client.responses.retrieve(second.id).output_text == "three"


@pytest.mark.parametrize("reference", [{"type": "item_reference"}, {}, {"type": None}])
def test_items_of_earlier_answers_are_sent_by_their_ids(reference: dict[str, Any], client: OpenAI) -> None:
    with client.responses.stream(model="echo", input="one two") as stream:
        first = stream.get_final_response()
    asked: Any = {"role": "user", "content": "three"}
    sent: Any = [asked, {"id": first.output[0].id, **reference}, asked]
    for store in (True, False):
        second = client.responses.create(model="echo", input=sent, store=store)
        whole = client.responses.create(model="echo", input=[asked, first.output[0].to_dict(), asked])  # type: ignore[list-item]
        assert (second.output_text, second.usage) == ("three", whole.usage)
    for unknown in ("msg_nope_0", f"{first.output[0].id}9", "odd"):
        with pytest.raises(openai.NotFoundError, match="Send the item itself") as error:
            client.responses.create(model="echo", input=[{"type": "item_reference", "id": unknown}])
        assert error.value.param == "input"


def test_streamed_response_is_stored_before_its_end(client: OpenAI) -> None:
    with client.responses.stream(model="echo", input="one two") as stream:
        last = list(stream)[-1]
        assert last.type == "response.completed"
        assert client.responses.retrieve(last.response.id).output_text == "one two"


def test_response_without_store_is_not_kept(client: OpenAI) -> None:
    response = client.responses.create(model="echo", input="one", store=False)
    assert response.store is False  # type: ignore[attr-defined]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError) as gone:
        client.responses.create(model="echo", input="two", previous_response_id=response.id)
    assert gone.value.param == "previous_response_id"


def test_input_items_are_listed_in_pages(client: OpenAI) -> None:
    items: Any = [{"role": "user", "content": str(number)} for number in range(5)]
    response = client.responses.create(model="echo", input=items)
    listed = list(client.responses.input_items.list(response.id, limit=2, order="asc"))
    assert [item.content for item in listed] == ["0", "1", "2", "3", "4"]  # type: ignore[union-attr]
    assert len({item.id for item in listed}) == 5


def test_deleted_response_is_gone(client: OpenAI) -> None:
    response = client.responses.create(model="echo", input="one")
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_background_response_is_retrieved_and_continued(client: OpenAI) -> None:
    first = client.responses.create(model="echo", input="one two")
    queued = client.responses.create(model="echo", input="three four", background=True, previous_response_id=first.id)
    assert queued.status == "queued"
    ended = eventually("it ends", lambda: (r := client.responses.retrieve(queued.id)).status == "completed" and r)
    assert (ended.id, ended.background, ended.output_text) == (queued.id, True, "three four")
    assert ended.previous_response_id == first.id
    following = client.responses.create(model="echo", input="five", previous_response_id=queued.id)
    assert following.usage is not None
    assert following.usage.input_tokens == 2 + 2 + 2 + 2 + 1
    assert client.responses.cancel(queued.id).status == "completed"


def test_background_response_is_always_stored(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="is stored; leave the field out"):
        client.responses.create(model="echo", input="one", background=True, store=False)


def test_background_response_can_be_cancelled(client: OpenAI) -> None:
    queued = client.responses.create(model="slow", input="word " * 5000, background=True)
    with pytest.raises(openai.BadRequestError, match="continue it once"):
        client.responses.create(model="echo", input="two", previous_response_id=queued.id)
    assert client.responses.cancel(queued.id).status == "cancelled"
    assert client.responses.retrieve(queued.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(client.responses.create(model="echo", input="one").id)


def test_background_response_is_streamed_from_any_event_on(client: OpenAI) -> None:
    events: Any = list(client.responses.create(model="echo", input="one two", background=True, stream=True))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created", "queued", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(10))
    assert (events[5].delta, events[-1].response.output_text) == ("one two", "one two")
    for after in (None, 0, 4, 9):
        fields = {} if after is None else {"starting_after": after}
        again: Any = list(client.responses.retrieve(events[0].response.id, stream=True, **fields))
        assert again == events[0 if after is None else after + 1 :]
    with pytest.raises(openai.BadRequestError, match="sequence_number"):
        client.responses.retrieve(events[0].response.id, stream=True, starting_after=-1)


def test_stream_of_a_cancelled_background_response_ends(client: OpenAI) -> None:
    events: Any = client.responses.create(model="slow", input="word " * 5000, background=True, stream=True)
    created = next(events)
    client.responses.cancel(created.response.id)
    assert [(event.type, event.response.status) for event in events][-1] == ("response.incomplete", "cancelled")


def test_stream_of_a_deleted_response_ends(client: OpenAI) -> None:
    events: Any = client.responses.create(model="slow", input="word " * 5000, background=True, stream=True)
    client.responses.delete(next(events).response.id)
    assert not [event for event in events if event.type == "response.completed"]


async def _add(store: ResponseStore, id_: str, owner: str = "", previous: str | None = None, size: int = 0) -> None:
    response = {"id": id_, "output": [{"text": "x" * size}]}
    await store.add(StoredResponse(id_, owner, [{"id": "i", "n": id_}], response, previous))


async def test_responses_of_other_keys_do_not_exist(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path, StoredResponseSettings())
    async with store.opened():
        await _add(store, "a", "key:one")
        assert (await store.get("key:one", "a")).id == (await store.get(None, "a")).id == "a"
        for owner in ("key:two", ""):
            with pytest.raises(NotFound):
                await store.get(owner, "a")
            with pytest.raises(NotFound):
                await store.remove(owner, "a")
            with pytest.raises(NotFound):
                await store.conversation(owner, "a")


async def test_items_of_other_keys_do_not_exist(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path, StoredResponseSettings())
    async with store.opened():
        item = {"id": "msg_a_0", "type": "message"}
        await store.add(StoredResponse("resp_a", "key:one", [], {"id": "resp_a", "output": [item]}))
        assert await store.item("key:one", "msg_a_0") == item
        with pytest.raises(NotFound):
            await store.item("key:two", "msg_a_0")


async def test_unused_responses_are_removed_and_used_chains_stay(tmp_path: Path) -> None:
    now = [0.0]
    store = ResponseStore(tmp_path, StoredResponseSettings(keep=100), lambda: now[0])
    async with store.opened():
        await _add(store, "unused")
        await _add(store, "a")
        await _add(store, "b", previous="a")
        now[0] = 90
        assert [item.get("n") for item in await store.conversation("", "b")] == ["a", None, "b", None]
        now[0] = 150
        await _add(store, "c", previous="b")
        with pytest.raises(NotFound):
            await store.get("", "unused")
        assert len(await store.conversation("", "c")) == 6


async def test_oldest_responses_above_the_size_are_removed(tmp_path: Path) -> None:
    now = [0.0]
    store = ResponseStore(tmp_path, StoredResponseSettings(max_gb=2500 / 2**30), lambda: now[0])
    async with store.opened():
        for number in range(4):
            now[0] += 60
            await _add(store, f"r{number}", size=1000)
        assert (await store.get("", "r3")).id == "r3"
        assert (await store.get("", "r2")).id == "r2"
        with pytest.raises(NotFound):
            await store.get("", "r1")
