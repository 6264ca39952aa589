"""Authentication over HTTP: keys, tokens, open paths, allowed addresses."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jwt
import openai
import pytest

from contract.config import hash_key
from tests.gateway.conftest import JWT_SECRET
from tests.support.gateway_processes import FakeManagerProcess, GatewayProcess, configuration, key, run_gateway

PATH, BODY = "/v1/embeddings", {"model": "ok", "input": "x"}


def token(secret: str = JWT_SECRET, algorithm: str = "HS256", **claims: object) -> str:
    return jwt.encode({"sub": "me", "exp": time.time() + 3600} | claims, secret, algorithm=algorithm)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer gateway-key"},
        {"authorization": "bearer app-key"},
        {"x-api-key": "app-key"},
        {"authorization": f"Bearer {token()}"},
        {"authorization": f"Bearer {token(aud='another service')}"},
    ],
)
def test_accepts_keys_and_tokens(secured: GatewayProcess, headers: dict[str, str]) -> None:
    assert secured.http.post(PATH, json=BODY, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "needs an API key"),
        ({"authorization": "Bearer wrong"}, "is unknown"),
        ({"authorization": "Bearer"}, "needs an API key"),
        ({"authorization": "Basic gateway-key"}, "needs an API key"),
        ({"x-api-key": "gateway-keys"}, "is unknown"),
        ({"x-api-key": hash_key("app-key")}, "is unknown"),
        ({"authorization": f"Bearer {token(exp=time.time() - 60)}"}, "expired"),
        ({"authorization": f"Bearer {token('another-secret-that-is-long-enough')}"}, "not valid"),
        ({"authorization": f"Bearer {token(exp=None)}"}, "not valid"),
        ({"authorization": f"Bearer {token(algorithm='HS384')}"}, "not valid"),
        ({"authorization": "Bearer a.b.c"}, "not valid"),
    ],
)
def test_rejects_wrong_keys_and_tokens(secured: GatewayProcess, headers: dict[str, str], message: str) -> None:
    answer = secured.http.post(PATH, json=BODY, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert message in answer.json()["error"]["message"]
    assert answer.headers["www-authenticate"] == "Bearer"


def test_only_open_paths_need_no_key(secured: GatewayProcess) -> None:
    for path in ("/", "/v1", "/health", "/healthz", "/v1/health", "/ready", "/docs", "/redoc", "/openapi.json"):
        assert secured.http.get(path).status_code == 200, path
    closed = ("/metrics", "/api/models", "/v1/models", "/v1/vision/tasks", "/v1/system/status", "/v1/system/events")
    for path in (*closed, "/v1/nothing", "/nothing"):
        assert secured.http.get(path).status_code == 401, path
    assert secured.http.post("/v1/system/reload").status_code == 401
    assert secured.http.get("/openapi.json").json()["components"]["securitySchemes"]


def test_openai_sdk_with_right_and_wrong_key(secured: GatewayProcess) -> None:
    with openai.OpenAI(base_url=f"{secured.address}/v1", api_key="gateway-key", max_retries=0) as client:
        assert client.models.list().data
    with (
        openai.OpenAI(base_url=f"{secured.address}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_rejects_addresses_that_are_not_allowed(
    manager: FakeManagerProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = {"ip_allowlist": ["192.0.2.0/24"]}
    with run_gateway(tmp_path_factory.mktemp("fenced"), configuration(manager.port, security=elsewhere)) as gateway:
        answer = gateway.http.get("/v1/models")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert gateway.http.get("/healthz").status_code == 200
    trusting = elsewhere | {"allow_localhost": True, "api_keys": [key("a", "b")]}
    with run_gateway(tmp_path_factory.mktemp("trusting"), configuration(manager.port, security=trusting)) as gateway:
        assert gateway.http.get("/v1/models").status_code == 200
        proxied = [{name: "192.0.2.1"} for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via")]
        for headers in ({"host": "gateway"}, {"origin": "http://evil.example"}, *proxied):
            assert gateway.http.get("/v1/models", headers=headers).status_code == 403, "a proxy's or a page's"


def test_rejects_a_key_of_undecodable_bytes(secured: GatewayProcess) -> None:
    answer = secured.http.get("/v1/models", headers={"authorization": b"Bearer \xff\xfe"})
    assert answer.status_code == 401
    json.loads(answer.content)


def test_only_admin_keys_evict_and_reload(manager: FakeManagerProcess, tmp_path: Path) -> None:
    keys = [key("app", "app-key"), key("operator", "operator-key") | {"scopes": ["admin"]}]
    security = {"api_keys": keys, "jwt_secret": JWT_SECRET}
    settings = configuration(manager.port, gateway={"api_key": "gateway-key"}, security=security)
    with run_gateway(tmp_path, settings) as gateway:
        gateway.wait_ready()
        for secret, status in (
            ("app-key", 403), (token(), 403), ("operator-key", 200), ("gateway-key", 200), (token(scope="x admin"), 200)
        ):  # fmt: skip
            answer = gateway.http.post("/v1/system/evict/ok", headers={"x-api-key": secret})
            authorized = gateway.http.post("/v1/system/evict/ok", headers={"authorization": f"Bearer {secret}"})
            assert (answer.status_code, authorized.status_code) == (status, status)
        answer = gateway.http.post("/v1/system/reload", headers={"x-api-key": "app-key"})
        assert answer.status_code == 403
        assert "scopes: [admin]" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("proxies", "status"), [([], 403), (["10.0.0.1"], 403), (["127.0.0.0/8"], 200)])
def test_believes_forwarded_addresses_from_known_proxies_only(
    manager: FakeManagerProcess, tmp_path: Path, proxies: list[str], status: int
) -> None:
    allowed = {"ip_allowlist": ["192.0.2.0/24"]}
    settings = configuration(manager.port, gateway={"trusted_proxies": proxies}, security=allowed)
    with run_gateway(tmp_path, settings) as gateway:
        gateway.wait_ready()
        answer = gateway.http.get("/v1/models", headers={"x-forwarded-for": "192.0.2.7"})
        assert answer.status_code == status
