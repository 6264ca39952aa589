"""`Client` and `AsyncClient` with a running server: every family that the fake engine serves, errors and progress."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from client import AsyncClient, Client, LoadProgress, ServerError
from scripts.testbed.server import RunningServer, eventually, fake_model
from tests.support.odd_images import drawing, encoded


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    broken = fake_model("broken", fail_at_load="there are no weights")
    folder = tmp_path_factory.mktemp("client")
    with RunningServer(folder, [fake_model("m"), fake_model("org/late", load_gate=str(folder / "gate")), broken]) as it:
        yield it


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url) as it:
        yield it


def test_answers_have_types_and_arrays_are_numpy(client: Client) -> None:
    reply = client.chat("hello there", model="m", images=[drawing()], max_tokens=2)
    assert (reply.text, reply.model, reply.finish_reason) == ("hello there", "m", "length")
    assert reply.completion_tokens == 2
    vectors = client.embed(["one", "two"], model="m", dimensions=4)
    assert vectors.shape == (2, 4)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    best, other = client.rerank("red cats", ["dogs", {"text": "red", "page": 2}], model="m")
    assert (best.index, best.score, best.document) == (1, 0.5, {"text": "red", "page": 2})
    assert (other.index, other.score, other.document) == (0, 0.0, "dogs")
    images = client.draw("a red square", model="m", n=2, size="32x16", seed=7)
    assert [(one.image.size, one.seed) for one in images] == [((32, 16), 7), ((32, 16), 8)]
    text = client.ocr(encoded(drawing()), model="m")
    assert text.text == text.lines[0].text


def test_rerank_in_the_forms_of_other_apis(client: Client) -> None:
    asked = {"model": "m", "query": "red cats"}
    order = [(1, 0.5), (0, 0.0)]
    for path in ("/v1/rerank", "/rerank", "/v2/rerank"):
        answer = client.request("POST", path, asked | {"documents": ["dogs", "red"], "odd": 1})
        assert [(one["index"], one["relevance_score"]) for one in answer["results"]] == order
        assert "`odd` is not a known field" in answer["warnings"][0]
    answer = client.request("POST", "/rerank", asked | {"texts": ["dogs", "red"], "return_text": True})
    assert answer == [{"index": 1, "score": 0.5, "text": "red"}, {"index": 0, "score": 0.0, "text": "dogs"}]
    with pytest.raises(ServerError, match="2049 documents are too many") as error:
        client.request("POST", "/rerank", asked | {"texts": ["a"] * 2049})
    assert error.value.param == "texts"


def test_chat_streams_piece_by_piece(client: Client) -> None:
    pieces = list(client.stream_chat("one two three", model="m"))
    assert [piece.text for piece in pieces if piece.text] == ["one", " two", " three"]
    assert [piece.finish_reason for piece in pieces if piece.finish_reason] == ["stop"]
    assert pieces[-1].usage is not None
    assert pieces[-1].usage["completion_tokens"] == 3


def test_errors_carry_the_servers_message(client: Client) -> None:
    with pytest.raises(ServerError, match="There is no model 'nope'") as error:
        client.chat("hi", model="nope")
    assert (error.value.status, error.value.code, error.value.param) == (404, "model_not_found", "model")
    assert error.value.request_id
    with pytest.raises(ServerError, match="cannot be reached") as unreachable, Client("http://127.0.0.1:9") as nowhere:
        nowhere.status()
    assert unreachable.value.status == 0
    with pytest.raises(ServerError, match="there are no weights"):
        next(client.stream_chat("hi", model="broken"))
    with pytest.raises(ValueError, match="not the address of a server"):
        Client("localhost:8000")


def test_load_reports_progress_until_ready(server: RunningServer, client: Client) -> None:
    steps: list[LoadProgress] = []
    seen: list[LoadProgress] = []

    def open_gate_once_it_starts(step: LoadProgress) -> None:
        steps.append(step)
        (server.folder / "gate").touch()

    assert client.load("org/late", open_gate_once_it_starts) == "org/late"
    assert (steps[0].state, steps[-1].state) == ("starting", "ready")
    assert client.load("org/late", on_progress=seen.append) == "org/late"  # it runs already
    assert [step.state for step in seen] == ["ready"]
    status = client.status()
    assert "org/late" in {worker.model for worker in status.workers if worker.state == "ready"}
    assert client.evict("org/late", force=True).evicted == ["org/late#1"]
    with pytest.raises(ServerError, match="there are no weights"):
        client.load("broken", steps.append)


def test_history_shows_starts_by_phase(client: Client) -> None:
    client.load("m")
    history = client.history()
    start = next(start for start in history.starts if start["worker"] == "m#1")
    assert set(start["phases"]) == {"process", "imports", "load", "measure"}
    assert sum(start["phases"].values()) <= start["seconds"] + 0.01
    assert {device["id"] for device in history.devices} == {device.id for device in client.status().devices}
    assert client.history(since=4e9).starts == []
    with pytest.raises(ServerError, match="`since` must be a time in seconds"):
        client.request("GET", "/v1/system/history", since="yesterday")


def test_images_and_requests_are_counted(client: Client) -> None:
    client.draw("a red square", model="m", n=2, size="32x16")
    client.ocr(encoded(drawing()), model="m")

    def counted() -> int:
        found = re.search(r'images_total{model="m"} (\d+)', client.metrics())
        return int(found[1]) if found else 0

    eventually("the worker has reported", lambda: counted() >= 2)
    eventually("a point has the requests", lambda: sum(client.history().requests) >= 2)


def test_logs_are_listed_and_paged(server: RunningServer, client: Client) -> None:
    log = server.home / "logs" / "org_late.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("one\ntwo\nthree\n")
    assert ("org/late", "model", 14) in [(one.name, one.kind, one.bytes) for one in client.log_files()]
    page = client.log_page("org/late", lines=2)
    assert [line["text"] for line in page.lines] == ["two", "three"]
    assert [line["text"] for line in client.log_page("org/late", before=page.before).lines] == ["one"]
    assert [line["text"] for line in client.log_page("org/late", search="T", lines=1).lines] == ["three"]
    assert list(client.logs("org/late", search="tw")) == ["two"]
    (server.home / "logs" / "secret.log").write_text("hidden\n")
    for name in ("secret", "..%2Fmanager%2Ftoken", "/etc/passwd", "m.2", "manager.log"):
        with pytest.raises(ServerError, match="There is no model"):
            client.log_page(name)
    with pytest.raises(ServerError, match="`lines` must be a number"):
        client.log_page("m", lines=99999)


def test_requests_are_listed_and_watched(client: Client) -> None:
    client.chat("hello", model="m")
    with pytest.raises(ServerError) as refused:
        client.chat("hi", model="nope")
    failed, succeeded = client.requests(limit=2)
    assert (failed.id, failed.status, failed.error) == (refused.value.request_id, 404, "model_not_found")
    assert (succeeded.path, succeeded.model, succeeded.status) == ("/v1/chat/completions", "m", 200)
    assert {"queue", "load", "infer"} <= set(succeeded.phases)
    assert client.requests(search=failed.id) == client.requests(outcome="failed", limit=1) == [failed]
    changes = client.watch_requests(since=succeeded.seq - 1)
    assert [next(changes).number for _ in range(2)] == [succeeded.number, failed.number]
    with pytest.raises(ServerError, match="outcome"):
        client.requests(outcome="perhaps")


def test_lists_models_and_the_catalogue(client: Client) -> None:
    assert [model.id for model in client.models("ocr")] == ["m", "org/late", "broken"]
    assert client.model("m").engine == "fake"
    assert "sam3" in {model.id for model in client.catalogue("segment")}
    assert client.known_model("sam3").licence
    assert {task.id: task.models for task in client.tasks()}["ocr"] == ["m", "org/late", "broken"]
    assert "languages" in client.task("ocr").schema["properties"]
    assert client.ready()
    assert "requests_total" in client.metrics()
    assert client.reload() == []
    assert client.request("GET", "/v1")["name"] == "Enginehouse"


async def test_async_client_makes_the_same_calls(server: RunningServer) -> None:
    async with AsyncClient(server.url) as client:
        assert (await client.chat("hello", model="m")).text == "hello"
        pieces = [piece.text async for piece in client.stream_chat("one two", model="m")]
        assert "".join(pieces) == "one two"
        assert (await client.embed("one", model="m")).shape == (1, 16)
        assert [one.document for one in await client.rerank("b", ["a", "b"], model="m", top_n=1)] == ["b"]
        assert await client.load("m") == "m"
        with pytest.raises(ServerError, match="no model 'nope'"):
            await client.evict("nope")
        with pytest.raises(ServerError, match="no model 'nope'"):
            _ = [piece async for piece in client.stream_chat("hi", model="nope")]


def test_both_clients_have_the_same_methods() -> None:
    def methods(cls: type) -> dict[str, list[str]]:
        public = inspect.getmembers(cls, callable)
        return {name: list(inspect.signature(f).parameters) for name, f in public if not name.startswith("_")}

    assert methods(Client) == methods(AsyncClient)


def test_page_of_the_client_lists_its_methods() -> None:
    page = (Path(__file__).parents[2] / "docs" / "python-client.md").read_text()
    table = page.partition("| Methods |")[2].partition("\n\n")[0]
    listed = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    methods = {name for name, _ in inspect.getmembers(Client, callable) if not name.startswith("_")}
    assert listed == methods - {"close", "perform", "stream"}
    sentence = page.partition("and `async for` over ")[2].partition(".\n")[0]
    iterators = {name for name in listed if not inspect.iscoroutinefunction(getattr(AsyncClient, name))}
    assert set(re.findall(r"`(\w+)`", sentence)) == iterators


def test_address_and_key_come_from_the_environment(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENGINEHOUSE_URL", server.url + "/v1/")
    monkeypatch.setenv("ENGINEHOUSE_KEY", "any")
    with Client() as client:
        assert client.base_url == server.url
        assert client.health()["status"] == "healthy"
