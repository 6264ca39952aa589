"""Following the manager: its start, its restarts, its changes, and where it is found."""

from __future__ import annotations

from pathlib import Path

from tests.support.fake_manager import TOKEN
from tests.support.fake_models import model
from tests.support.gateway_processes import (
    FakeManagerProcess,
    configuration,
    eventually,
    run_gateway,
    run_manager,
)
from tests.support.sockets import lasting_port

EMBED = "/v1/embeddings"


def test_survives_starts_and_stops_of_the_manager(tmp_path: Path) -> None:
    port = lasting_port()
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

        manager.control("models", [model("new")])
        eventually(lambda: names() == {"new"})
        manager.control("drop")
        eventually(lambda: manager.control()["listeners"] == 1)
        manager.control("models", [model("newer", state="ready")])
        eventually(lambda: names() == {"newer"})
        assert gateway.http.post("/v1/system/reload").json() == {"changed": ["reloaded"]}
        assert names() == {"newer", "reloaded"}, "the response to a reload comes after the new models"
        manager.control("ready", False)
        assert gateway.http.get("/ready").status_code == 503


def test_reads_address_and_token_from_the_state_folder(tmp_path: Path) -> None:
    with run_manager() as manager:
        folder = tmp_path / "home" / "manager"
        folder.mkdir(parents=True)
        (folder / "token").write_text(TOKEN + "\n")
        (folder / "address").write_text(manager.address + "\n")
        with run_gateway(tmp_path, configuration(0, manager={"token": ""})) as gateway:
            gateway.wait_ready()
            assert gateway.http.post(EMBED, json={"model": "ok", "input": "x"}).status_code == 200


def test_wrong_manager_token_is_not_the_clients_error(tmp_path: Path, manager: FakeManagerProcess) -> None:
    with run_gateway(tmp_path, configuration(manager.port, manager={"token": "wrong-token"})) as gateway:
        answer = gateway.http.post(EMBED, json={"model": "ok", "input": "x"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "manager_unreachable")
