"""Adding and removing models at run time, against a running server with a hub on loopback."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from contract.config import hash_key
from contract.sample_image import SAMPLE_IMAGE
from scripts.testbed import hub
from scripts.testbed.server import RunningServer, eventually, fake_model
from tests.support import hub_repositories

ADMIN, APP = {"x-api-key": "the-admin-key"}, {"x-api-key": "an-app-key"}


@dataclass(frozen=True)
class House:
    server: RunningServer
    hub: hub.Hub
    cache: Path

    def call(self, method: str, path: str, json: Any = None, **headers: str) -> Any:
        return self.server.request(method, path, json=json, headers={**ADMIN, **headers})

    def download(self, model: str) -> None:
        assert self.call("POST", "/api/models/download", {"model": model}).status_code == 202
        eventually("it is downloaded", lambda: self.row(model)["downloaded"])
        eventually("that has ended", lambda: not self.call("GET", "/v1/system/status").json()["downloads"])

    def row(self, id_: str) -> dict[str, Any]:
        row: dict[str, Any] = self.call("GET", f"/api/models/{id_}").json()
        return row

    def entries(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = yaml.safe_load(self.server.config.read_text())["models"]
        return entries


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("entries")
    repositories = hub_repositories.make(folder / "hub", {f"a/{name}": hub_repositories.MODEL for name in "xyz"})
    keys = [
        {"name": "admin", "key_hash": hash_key(ADMIN["x-api-key"]), "scopes": ["admin"]},
        {"name": "app", "key_hash": hash_key(APP["x-api-key"])},
    ]
    models = [
        {**fake_model("m"), "aliases": ["other-name"]},
        {"id": "x", "engine": "transformers_chat", "source": "a/x"},
        {"id": "x2", "engine": "transformers_chat", "source": "a/x"},
    ]
    with hub.serve(repositories) as served, pytest.MonkeyPatch.context() as patch:
        for name, value in hub_repositories.environment(served, folder / "cache").items():
            patch.setenv(name, value)
        sections = {"security": {"api_keys": keys, "allow_localhost": False}, "gateway": {"auto_add": True}}
        with RunningServer(folder / "server", models, **sections) as server:
            yield House(server, served, folder / "cache" / "hub")


def test_added_model_answers_at_once_and_comments_stay(house: House) -> None:
    config = house.server.config
    config.write_text("# mine\n" + config.read_text())
    config.chmod(0o600)
    added = house.call("POST", "/api/models", fake_model("new", dimensions=3))
    assert (added.status_code, added.json()["id"], added.headers["location"]) == (201, "new", "/v1/models/new")
    body = {"model": "new", "messages": [{"role": "user", "content": "hello"}]}
    assert house.call("POST", "/v1/chat/completions", body).json()["choices"][0]["message"]["content"] == "hello"
    assert config.read_text().startswith("# mine\n")
    assert config.stat().st_mode & 0o777 == 0o600
    assert house.entries()[-1]["id"] == "new"

    assert house.call("DELETE", "/api/models/new?entry=true").status_code == 409, "it has a worker"
    house.call("POST", "/v1/system/evict/new")
    removed = house.call("DELETE", "/api/models/new?entry=true").json()
    assert (removed["entry"], removed["freed_bytes"], "engine's packages" in removed["kept"]) == (True, 0, True)
    assert house.call("POST", "/v1/chat/completions", body).status_code == 404
    assert [entry["id"] for entry in house.entries()] == ["m", "x", "x2"]


def test_dialects_add_what_they_need(house: House) -> None:
    body = {"image": SAMPLE_IMAGE, "encoder": "vits"}
    before = [entry["id"] for entry in house.entries()]
    for _ in range(2):
        answer = house.call("POST", "/rel_depth", {**body, "dataset": "vkitti"}, **APP)
        assert "in the catalogue" not in answer.text
    assert [entry["id"] for entry in house.entries()] == [*before, "depth-outdoor-small"]
    house.call("POST", "/v1/system/evict/depth-outdoor-small")
    entry = "/api/models/depth-outdoor-small?entry=true&files=false"
    eventually("its entry is removed", lambda: house.call("DELETE", entry).status_code == 200)
    task = house.call("POST", "/v1/vision/depth", {**body, "model": "depth-outdoor-small"})
    assert "in the catalogue" in task.json()["error"]["message"], "tasks add nothing"


@pytest.mark.parametrize(
    ("entry", "status", "words"),
    [
        ({"id": "n", "engine": "fake", "options": {"step_secnds": 1}}, 400, "did you mean `step_seconds`"),
        ({"id": "n", "engine": "fake", "optoins": {}}, 400, "did you mean `options`"),
        ({"id": "n", "engine": "fka"}, 400, "unknown engine 'fka'"),
        ({"engine": "fake"}, 400, "id"),
        ({"id": "m", "engine": "fake"}, 409, "belongs to m already"),
        ({"id": "n", "engine": "fake", "aliases": ["other-name"]}, 409, "belongs to m already"),
        ({"model": "nothing-like-this"}, 400, "not in the catalogue"),
        ({"id": "n", "engine": "command", "tasks": ["chat"], "options": {"cmd": "sh ${PORT}"}}, 400, "itself"),
        ({"id": "n", "engine": "fake", "python": "/bin/sh"}, 400, "itself"),
        ({"id": "n", "engine": "fake", "env": {"LD_PRELOAD": "/tmp/x.so"}}, 400, "itself"),
        ({"id": "n", "engine": "transformers_chat", "source": "a/x", "trust_remote_code": True}, 400, "itself"),
        ({"id": "n", "engine": "crawl", "options": {"executable": "/bin/sh"}}, 400, "itself"),
        ([], 400, ""),
    ],
)
def test_wrong_entries_change_nothing(house: House, entry: Any, status: int, words: str) -> None:
    before = house.server.config.read_bytes()
    refused = house.call("POST", "/api/models", entry)
    assert refused.status_code == status, refused.text
    assert words in refused.json()["error"]["message"]
    assert house.server.config.read_bytes() == before
    assert "n" not in {model["id"] for model in house.call("GET", "/v1/models").json()["data"]}


def test_catalogue_model_is_added_by_its_name(house: House) -> None:
    added = house.call("POST", "/api/models", {"model": "smolvlm", "id": "small", "idle_timeout": 7})
    assert (added.status_code, added.json()["engine"]) == (201, "transformers_chat"), added.text
    assert house.entries()[-1]["idle_timeout"] == 7
    assert house.call("DELETE", "/api/models/small?entry=true&files=false").json()["entry"] is True


def test_removing_files_says_how_much_came_free(house: House) -> None:
    entry = {"id": "y", "engine": "transformers_chat", "source": "a/y"}
    assert house.call("POST", "/api/models", entry).status_code == 201
    house.download("y")
    size = house.row("y")["disk_bytes"]
    assert size > 400_000
    removed = house.call("DELETE", "/api/models/y")
    assert removed.json() == {"model": "y", "entry": False, "freed_bytes": size, "kept": None}
    assert (house.row("y")["downloaded"], house.row("y")["disk_bytes"]) == (False, 0)
    assert not list(house.cache.glob("*a--y*"))
    assert [entry["id"] for entry in house.entries()][-1] == "y", "its entry stays"
    house.download("y")
    assert house.call("DELETE", "/api/models/y?entry=true").json()["freed_bytes"] == size
    assert house.call("GET", "/api/models/y").status_code == 404


def test_files_of_a_repository_without_entry_are_removed(house: House) -> None:
    house.call("POST", "/api/models/download", {"model": "a/z"})
    eventually("it is there", lambda: list(house.cache.glob("models--a--z/snapshots/*/model.safetensors")))
    eventually("its download has ended", lambda: not house.call("GET", "/v1/system/status").json()["downloads"])
    assert house.call("DELETE", "/api/models/a/z?entry=true").status_code == 404
    assert house.call("DELETE", "/api/models/a/z").json()["freed_bytes"] > 400_000
    assert house.call("DELETE", "/api/models/a/z").status_code == 404


@pytest.mark.parametrize("name", ["#", "a b", "x" * 400, "x/" + "y" * 400, "../../etc", "\x00", "%00", "~root"])
def test_names_that_no_model_can_have_are_unknown(house: House, name: str) -> None:
    path = f"/api/models/{quote(name, safe='')}"
    removed = house.server.request("DELETE", path, headers=ADMIN)
    assert removed.status_code == 404, removed.text
    ordered = house.server.request("POST", "/api/models/download", json={"model": name}, headers=ADMIN)
    assert ordered.status_code == 400, ordered.text


def test_shared_files_are_kept_and_the_others_named(house: House) -> None:
    house.download("x")
    refused = house.call("DELETE", "/api/models/x")
    error = refused.json()["error"]
    assert (refused.status_code, error["details"]["shared_with"]) == (409, ["x2"])
    assert house.row("x")["downloaded"] is True
    assert house.call("DELETE", "/api/models/m").status_code == 400, "it has no files"
    assert house.call("DELETE", "/api/models/x?entry=false&files=false").status_code == 400
    assert house.call("DELETE", "/api/models/x?fiels=true").status_code == 400


def test_model_that_is_downloaded_is_in_use(house: House) -> None:
    house.hub.go.clear()
    house.hub.faults["a/z/model.safetensors"] = "stalled"
    id_ = house.call("POST", "/api/models/download", {"model": "a/z"}).json()["id"]
    eventually("it has begun", lambda: list(house.cache.glob("models--a--z/blobs/*")))
    refused = house.call("DELETE", "/api/models/a/z")
    assert (refused.status_code, "downloading" in refused.json()["error"]["message"]) == (409, True)
    assert house.call("DELETE", f"/api/models/downloads/{id_}").json()["state"] == "cancelled"


def test_ollamas_pull_and_delete(house: House) -> None:
    house.hub.go.set()
    house.hub.faults.clear()
    with house.server.stream("/api/pull", {"model": "hf.co/a/z:latest"}, headers=ADMIN) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in answer.iter_lines()]
    assert [line["status"] for line in lines[-2:]] == ["writing manifest", "success"]
    sizes = [(line["completed"], line["total"]) for line in lines if "completed" in line]
    assert all(0 <= completed <= total for completed, total in sizes if total)
    assert house.call("POST", "/api/pull", {"name": "a/z", "stream": False}).json() == {"status": "success"}
    failed = house.call("POST", "/api/pull", {"model": "nothing-like-this"})
    assert (failed.status_code, isinstance(failed.json()["error"], str)) == (400, True)
    entry = {"id": "z", "engine": "transformers_chat", "source": "a/z", "presets": {"polite": {"system": "Be polite."}}}
    assert house.call("POST", "/api/models", entry).status_code == 201
    assert house.call("DELETE", "/api/delete", {"model": "polite"}).status_code == 404
    assert house.call("DELETE", "/api/delete", {"model": "z:latest"}).status_code == 200
    assert "z" not in {entry["id"] for entry in house.entries()}
    assert not list(house.cache.glob("*a--z*"))
    assert house.call("DELETE", "/api/delete", {"model": "z"}).status_code == 404


def test_pin_survives_eviction_reload_and_restart(house: House) -> None:
    def pinned() -> bool:
        status = house.call("GET", "/v1/system/status").json()
        return bool(next(model for model in status["models"] if model["id"] == "m")["pinned"])

    answer = house.call("POST", "/models/pin", {"model": "m"}).json()
    assert (answer["message"], answer["model_info"]["pinned"]) == ("Model m pinned successfully", True)
    assert house.call("POST", "/models/load", {"model_id": "m"}).json()["model_info"]["loaded"] is True
    [worker] = [one for one in house.call("GET", "/v1/system/status").json()["workers"] if one["model"] == "m"]
    assert worker["expires_in"] is None, "idleness does not end it"
    house.call("POST", "/v1/system/evict/m")
    house.server.config.write_text(house.server.config.read_text().replace("other-name", "another-name"))
    assert house.call("POST", "/v1/system/reload").json() == {"changed": ["m"]}
    assert pinned()
    house.server.stop("manager", signal.SIGKILL)
    house.server.start("manager")
    eventually("the gateway has found it", lambda: house.call("GET", "/ready").status_code == 200)
    assert pinned()
    house.call("POST", "/models/unpin", {"model": "m"})
    assert not pinned()
    assert house.call("POST", "/models/pin", {}).json()["error"]["param"] == "model_type"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/models"),
        ("DELETE", "/api/models/x"),
        ("POST", "/api/models/download"),
        ("DELETE", "/api/models/downloads/1"),
        ("POST", "/api/pull"),
        ("DELETE", "/api/delete"),
        ("POST", "/models/unload"),
        ("POST", "/models/unload-all"),
        ("POST", "/models/pin"),
        ("POST", "/models/unpin"),
        ("POST", "/v1/system/evict/m"),
        ("POST", "/v1/system/reload"),
        ("GET", "/v1/system/logs/m"),
    ],
)
def test_only_admins_and_no_foreign_pages_may(house: House, method: str, path: str) -> None:
    body = {"model": "m"} if method == "POST" and "unload-all" not in path else None
    refused = house.server.request(method, path, json=body, headers=APP)
    assert refused.status_code == 403
    assert "forbidden" in refused.text.lower()
    assert house.server.request(method, path, json=body).status_code == 401
    if method != "GET":
        page = house.server.request(method, path, json=body, headers={**ADMIN, "origin": "https://evil.example"})
        assert page.status_code == 403
    rebound = house.server.request(method, path, json=body, headers={**ADMIN, "host": "evil.example"})
    assert rebound.status_code in {400, 403, 421}, rebound.text
