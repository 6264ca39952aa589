"""The routes about the house, and the manager that comes, goes and changes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import psutil
import pytest

from contract import __version__
from tests.support.fake_manager import MODELS, TOKEN, model
from tests.support.gateway_processes import (
    ROOT,
    Ended,
    Gateway,
    Manager,
    configuration,
    eventually,
    run_gateway,
    run_manager,
)

EMBED = "/v1/embeddings"


def test_greetings_and_health(gateway: Gateway) -> None:
    for path in ("/", "/v1"):
        assert gateway.http.get(path).json()["version"] == __version__
    for path in ("/health", "/healthz", "/v1/health"):
        assert gateway.http.get(path).json() == {"status": "healthy"}
    assert gateway.http.get("/ready").json() == {"status": "ready"}


def test_version_is_the_packages() -> None:
    assert re.search(rf'^version = "{re.escape(__version__)}"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_models_have_openais_form_and_ours(gateway: Gateway) -> None:
    listing = gateway.http.get("/v1/models").json()
    assert listing["object"] == "list"
    assert listing["count"] == len(listing["data"]) == len(listing["models"]) >= len(MODELS)
    entry = next(entry for entry in listing["data"] if entry["id"] == "ok")
    assert (
        entry.items() >= {"object": "model", "created": 1, "name": "ok", "engine": "fake", "state": "stopped"}.items()
    )
    assert entry["tasks"] == ["chat", "embeddings", "ocr", "image-generation"]
    missing = gateway.http.get("/v1/models/nobody")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


def test_status_and_evict_are_the_managers(gateway: Gateway, manager: Manager) -> None:
    assert gateway.http.get("/v1/system/status").json()["version"] == "fake"
    assert gateway.http.post("/v1/system/evict/fine").json() == {"evicted": ["ok#1"], "freed_bytes": 7}
    assert gateway.http.post("/v1/system/evict/org/slashed").json()["evicted"] == ["org/slashed#1"]
    assert gateway.http.post("/v1/system/evict/nobody").status_code == 404


def test_metrics_of_both_without_a_family_twice(gateway: Gateway) -> None:
    page = gateway.http.get("/metrics").text
    assert 'api_requests_total{endpoint="/metrics"' in gateway.http.get("/metrics").text
    assert "models_loaded 2.0" in page
    assert page.count("# TYPE active_requests ") == 1
    assert "active_requests 9.0" not in page


def test_a_scanner_does_not_grow_the_metrics(gateway: Gateway) -> None:
    gateway.http.get("/wp-login.php")
    assert gateway.http.post("/v1/scan-1", json={}).status_code == 404
    json_type = {"content-type": "application/json"}
    assert gateway.http.post("/v1/scan-2", content=b"{", headers=json_type).status_code == 400
    page = gateway.http.get("/metrics").text
    assert 'endpoint="unmatched",status="404"' in page
    assert "wp-login" not in page
    assert "scan-" not in page


def test_events_pass_through(gateway: Gateway, manager: Manager) -> None:
    with gateway.http.stream("GET", "/v1/system/events?since=0") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": hello"
        manager.control("event", {"type": "memory", "bytes": 5})
        event = next(line for line in lines if line.startswith("data:"))
    assert json.loads(event[5:])["bytes"] == 5


def test_openapi_shows_tasks_and_control_routes(gateway: Gateway) -> None:
    document = gateway.http.get("/openapi.json").json()
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"].keys() == {"application/json"}
    assert chat["responses"]["200"]["content"].keys() == {"application/json", "text/event-stream"}
    assert "messages" in _schema(document, chat["requestBody"]["content"]["application/json"])["properties"]
    ocr = document["paths"]["/v1/vision/ocr"]["post"]["requestBody"]["content"]
    assert ocr["multipart/form-data"]["schema"]["properties"]["image"] == {"type": "string", "format": "binary"}
    depth = document["paths"]["/v1/vision/depth"]["post"]["responses"]["200"]["content"]
    assert depth.keys() == {"application/json", "application/octet-stream", "application/x-npz"}
    assert {"/v1/models", "/v1/system/status", "/v1/system/events", "/metrics", "/ready"} <= document["paths"].keys()
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert reference in document["components"]["schemas"]
    assert "swagger" in gateway.http.get("/docs").text


def _schema(document: dict, content: dict) -> dict:
    return document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]


def test_lives_without_a_manager_and_finds_it_when_it_comes_and_comes_again(tmp_path: Path) -> None:
    with run_manager() as manager:
        port = manager.port
    with run_gateway(tmp_path, configuration(port)) as gateway:
        assert gateway.http.get("/ready").status_code == 503
        for answer in (gateway.http.post(EMBED, json={"input": "x"}), gateway.http.get("/v1/models")):
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (503, "manager_unreachable")
            assert answer.headers["retry-after"] == "1"
            assert "python -m manager" in error["message"]
        assert "api_requests_total" in gateway.http.get("/metrics").text
        for _ in range(2):
            with run_manager(port):
                gateway.wait_ready()
                assert gateway.http.post(EMBED, json={"model": "ok", "input": "x"}).status_code == 200
            down = gateway.http.post(EMBED, json={"model": "ok", "input": "x"})
            assert (down.status_code, down.json()["error"]["code"]) == (503, "manager_unreachable")
            assert gateway.http.get("/healthz").status_code == 200


def test_follows_changes_and_reconnects(tmp_path: Path) -> None:
    with run_manager() as manager, run_gateway(tmp_path, configuration(manager.port)) as gateway:
        gateway.wait_ready()

        def names() -> set[str]:
            return {entry["id"] for entry in gateway.http.get("/v1/models").json()["data"]}

        manager.control("models", [model("fresh")])
        eventually(lambda: names() == {"fresh"})
        manager.control("drop")
        eventually(lambda: manager.control("seen")["listeners"] == 1)
        manager.control("models", [model("fresher", state="ready")])
        eventually(lambda: names() == {"fresher"})
        assert gateway.http.post("/v1/system/reload").json() == {"changed": ["reloaded"]}
        assert names() == {"fresher", "reloaded"}, "whoever reloads finds the new models at once"
        manager.control("ready", False)
        assert gateway.http.get("/ready").status_code == 503


def test_finds_address_and_token_in_the_house(tmp_path: Path) -> None:
    with run_manager() as manager:
        home = tmp_path / "home" / "manager"
        home.mkdir(parents=True)
        (home / "token").write_text(TOKEN + "\n")
        (home / "address").write_text(manager.address + "\n")
        with run_gateway(tmp_path, configuration(0, manager={"token": ""})) as gateway:
            gateway.wait_ready()
            assert gateway.http.post(EMBED, json={"model": "ok", "input": "x"}).status_code == 200


def test_a_wrong_manager_token_is_no_fault_of_the_client(tmp_path: Path, manager: Manager) -> None:
    with run_gateway(tmp_path, configuration(manager.port, manager={"token": "wrong"})) as gateway:
        answer = gateway.http.post(EMBED, json={"model": "ok", "input": "x"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "manager_unreachable")


def test_stops_in_good_order(tmp_path: Path, manager: Manager) -> None:
    with run_gateway(tmp_path, configuration(manager.port)) as gateway:
        gateway.process.terminate()
        assert gateway.process.wait(20) == 0
        assert not (gateway.home / "gateway" / "address").exists()


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"security": {"ip_allowlist": ["10.0.0.0/99"]}}, "ip_allowlist"),
        *(
            (
                {"security": {"api_keys": [{"name": "a", "key_hash": "sha256:" + "0" * 64, "rate_limit": rate}]}},
                "60/minute",
            )
            for rate in ("often", "0/minute")
        ),
        ({"gateway": {"prot": 1}}, "did you mean `port`"),
    ],
)
def test_a_wrong_configuration_is_told_at_the_start(tmp_path: Path, section: dict, says: str) -> None:
    with pytest.raises(Ended, match="2"), run_gateway(tmp_path, configuration(1, **section)):
        pass
    assert says in (tmp_path / "gateway.log").read_text()


def test_small_at_rest(gateway: Gateway) -> None:
    assert psutil.Process(gateway.process.pid).memory_info().rss < 120 * 2**20


def test_what_analyze_can_be_asked_by_name_is_listed(gateway: Gateway) -> None:
    listing = gateway.http.get("/v1/vision/tasks").json()
    assert listing["object"] == "list"
    assert [task["id"] for task in listing["data"]] == ["caption", "ocr", "describe", "analyze", "objects", "custom"]
    assert {bool(task["prompt"]) for task in listing["data"] if task["id"] != "custom"} == {True}
    assert listing["data"][-1]["prompt"] is None
    assert all(task["description"] for task in listing["data"])
    assert "/v1/vision/tasks" in gateway.http.get("/openapi.json").json()["paths"]
