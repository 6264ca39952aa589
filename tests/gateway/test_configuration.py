"""Who may use the API follows the configuration file while the gateway runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fake_manager import TOKEN
from tests.support.gateway_processes import (
    FakeManagerProcess,
    GatewayProcess,
    configuration,
    eventually,
    key,
    run_gateway,
)
from tests.support.job_requests import CHAT


class Followed:
    """A gateway whose configuration file changes."""

    def __init__(self, gateway: GatewayProcess, path: Path, port: int) -> None:
        self.http, self._path, self._port = gateway.http, path, port

    def save(self, interval: float = 0.02, **sections: Any) -> None:
        """Save the file as editors do."""
        new = self._path.with_suffix(".new")
        new.write_text(yaml.safe_dump(settings(self._port, interval, **sections)))
        os.replace(new, self._path)

    def status_of(self, secret: str, **headers: str) -> int:
        return self.http.get("/v1/models", headers={"x-api-key": secret, **headers}).status_code

    def error(self, secret: str) -> str | None:
        status = self.http.get("/v1/system/status", headers={"x-api-key": secret}).json()
        problem: str | None = status["gateway"]["configuration_error"]
        return problem


def settings(port: int, interval: float, **sections: Any) -> dict[str, Any]:
    return configuration(port, manager={"port": port, "token": TOKEN, "config_scan_interval": interval}, **sections)


def keys(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"api_keys": list(entries)}


OLD = key("old", "old-secret")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, manager: FakeManagerProcess) -> Iterator[Followed]:
    folder = tmp_path_factory.mktemp("followed")
    with run_gateway(folder, settings(manager.port, 0.02, security=keys(OLD))) as process:
        process.wait_ready()
        yield Followed(process, folder / "config.yaml", manager.port)


@pytest.fixture
def followed(gateway: Followed) -> Followed:
    """The gateway with the key `old-secret` alone."""
    gateway.save(security=keys(OLD))
    eventually(lambda: gateway.status_of("old-secret") == 200 and gateway.error("old-secret") is None)
    return gateway


def test_saved_keys_and_limits_take_effect(followed: Followed) -> None:
    assert followed.status_of("new-secret") == 401
    followed.save(security=keys(key("new", "new-secret", "2/hour")))
    eventually(lambda: followed.status_of("old-secret") == 401)
    assert [followed.status_of("new-secret") for _ in range(3)] == [200, 200, 429]
    followed.save(security=keys(key("new", "new-secret", "2/hour"), key("other", "other-secret")))
    eventually(lambda: followed.status_of("other-secret") == 200)
    assert followed.status_of("new-secret") == 429, "what was counted stays counted"


def test_saved_origins_and_names_take_effect(followed: Followed) -> None:
    headers = {"x-api-key": "old-secret", "origin": "https://page.example", "host": "ai.example"}
    assert followed.http.post("/v1/chat/completions", json=CHAT, headers=headers).status_code == 403
    gateway = {"cors_origins": ["https://page.example"], "hosts": ["ai.example"]}
    followed.save(gateway=gateway, security=keys(key("old", "old-secret")))
    eventually(lambda: followed.status_of("old-secret", host="ai.example") == 200)
    answer = followed.http.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://page.example")


@pytest.mark.parametrize(
    ("security", "problem"),
    [
        (keys(key("new", "new-secret", "often")), "rate_limit of new is not valid"),
        ({**keys(key("new", "new-secret")), "ip_allowlist": ["nonsense"]}, "nonsense"),
        ({"api_kyes": []}, "did you mean `api_keys`"),
    ],
)
def test_wrong_edit_leaves_the_keys_in_force(followed: Followed, security: dict[str, Any], problem: str) -> None:
    followed.save(security=security)
    error = eventually(lambda: followed.error("old-secret"))
    assert error
    assert problem in error
    assert (followed.status_of("new-secret"), followed.http.get("/v1/models").status_code) == (401, 401)
    followed.save(security=keys(key("newer", "newer-secret")))
    eventually(lambda: followed.status_of("newer-secret") == 200)
    assert followed.error("newer-secret") is None


def test_removing_the_last_key_opens_nothing(followed: Followed) -> None:
    followed.save()
    refused = eventually(lambda: followed.status_of("old-secret") == 401 and followed.http.get("/v1/models"))
    assert refused.status_code == 401
    answer = followed.http.get("/v1/models", headers={"x-api-key": "old-secret"})
    assert "restart the gateway" in answer.json()["error"]["message"]


def test_reload_reads_the_keys_at_once(followed: Followed) -> None:
    admin = {**key("old", "old-secret"), "scopes": ["admin"]}
    followed.save(interval=0, security=keys(admin))
    eventually(lambda: followed.http.post("/v1/system/reload", headers={"x-api-key": "old-secret"}).status_code == 200)
    followed.save(interval=0, security=keys(admin, key("new", "new-secret")))
    assert followed.http.post("/v1/system/reload", headers={"x-api-key": "old-secret"}).status_code == 200
    assert followed.status_of("new-secret") == 200
    followed.save(interval=0, security=keys(key("new", "new-secret", "often")))
    refused = followed.http.post("/v1/system/reload", headers={"x-api-key": "old-secret"})
    assert (refused.status_code, "not who may use the API" in refused.text) == (400, True)
    followed.save(security=keys(admin))  # read again by itself
    assert followed.http.post("/v1/system/reload", headers={"x-api-key": "old-secret"}).status_code == 200
