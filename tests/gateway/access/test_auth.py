"""Keys, tokens, addresses and rates: over the wire where it matters, directly where it is arithmetic."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx2
import jwt
import openai
import pytest

from contract.config import ApiKey, GatewaySettings, SecuritySettings, Settings, hash_key
from contract.errors import Unauthorized
from gateway.access.allowlist import Allowlist, is_loopback
from gateway.access.keys import Keyring
from gateway.access.rate_limits import SlidingWindow
from tests.support.gateway_processes import Gateway, Manager, configuration, key, run_gateway

SECRET = "a-secret-that-is-long-enough-for-HS256-and-HS384-alike"
EMBED = ("/v1/embeddings", {"model": "ok", "input": "x"})


@pytest.fixture(scope="module")
def locked(manager: Manager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that asks for keys."""
    keys = [key("app", "app-key"), key("slow", "slow-key", "2/hour")]
    settings = configuration(
        manager.port,
        gateway={"api_key": "house-key", "cors_origins": ["https://page.example"]},
        security={"api_keys": keys, "jwt_secret": SECRET},
    )
    with run_gateway(tmp_path_factory.mktemp("locked"), settings) as gateway:
        gateway.wait_ready()
        yield gateway


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: object) -> str:
    return jwt.encode({"sub": "me", "exp": time.time() + 3600} | claims, secret, algorithm=algorithm)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer house-key"},
        {"authorization": "bearer app-key"},
        {"x-api-key": "app-key"},
        {"authorization": f"Bearer {token()}"},
        {"authorization": f"Bearer {token(aud='another service')}"},
    ],
)
def test_keys_and_tokens_open(locked: Gateway, headers: dict[str, str]) -> None:
    assert locked.http.post(EMBED[0], json=EMBED[1], headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "needs an API key"),
        ({"authorization": "Bearer wrong"}, "is unknown"),
        ({"authorization": "Bearer"}, "needs an API key"),
        ({"authorization": "Basic house-key"}, "needs an API key"),
        ({"x-api-key": "house-keys"}, "is unknown"),
        ({"x-api-key": hash_key("app-key")}, "is unknown"),
        ({"authorization": f"Bearer {token(exp=time.time() - 60)}"}, "expired"),
        ({"authorization": f"Bearer {token('another-secret-that-is-long-enough')}"}, "not valid"),
        ({"authorization": f"Bearer {token(exp=None)}"}, "not valid"),
        ({"authorization": f"Bearer {token(algorithm='HS384')}"}, "not valid"),
        ({"authorization": "Bearer a.b.c"}, "not valid"),
    ],
)
def test_wrong_keys_do_not(locked: Gateway, headers: dict[str, str], says: str) -> None:
    answer = locked.http.post(EMBED[0], json=EMBED[1], headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert says in answer.json()["error"]["message"]
    assert answer.headers["www-authenticate"] == "Bearer"


def test_only_the_open_paths_are_open(locked: Gateway) -> None:
    for path in ("/", "/v1", "/health", "/healthz", "/v1/health", "/ready", "/docs", "/redoc", "/openapi.json"):
        assert locked.http.get(path).status_code == 200, path
    closed = ("/metrics", "/v1/models", "/v1/vision/tasks", "/v1/system/status", "/v1/system/events")
    for path in (*closed, "/v1/nothing", "/nothing"):
        assert locked.http.get(path).status_code == 401, path
    assert locked.http.post("/v1/system/reload").status_code == 401
    assert locked.http.get("/openapi.json").json()["components"]["securitySchemes"]


def test_sdk_with_and_without_key(locked: Gateway) -> None:
    with openai.OpenAI(base_url=f"{locked.address}/v1", api_key="house-key", max_retries=0) as good:
        assert good.models.list().data
    with (
        openai.OpenAI(base_url=f"{locked.address}/v1", api_key="wrong", max_retries=0) as bad,
        pytest.raises(openai.AuthenticationError),
    ):
        bad.models.list()


def test_rate_limit_of_a_key(locked: Gateway) -> None:
    headers = {"x-api-key": "slow-key"}
    answers = [locked.http.post(EMBED[0], json=EMBED[1], headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "1"
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(answers[2].headers["retry-after"]) <= 7200
    assert locked.http.post(EMBED[0], json=EMBED[1], headers={"x-api-key": "app-key"}).status_code == 200


def test_pages_of_a_named_origin_may_ask_and_read_refusals(locked: Gateway) -> None:
    origin = {"origin": "https://page.example"}
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    preflight = locked.http.options(EMBED[0], headers=origin | asked)
    assert preflight.headers["access-control-allow-origin"] == "https://page.example"
    refused = locked.http.post(EMBED[0], json=EMBED[1], headers=origin)
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://page.example"
    assert refused.headers["x-request-id"]
    stranger = locked.http.post(EMBED[0], json=EMBED[1], headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in stranger.headers


def test_allowlist_and_localhost(manager: Manager, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = {"ip_allowlist": ["192.0.2.0/24"]}
    with run_gateway(tmp_path_factory.mktemp("fenced"), configuration(manager.port, security=elsewhere)) as gateway:
        answer = gateway.http.get("/v1/models")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert gateway.http.get("/healthz").status_code == 200
    trusting = elsewhere | {"allow_localhost": True, "api_keys": [key("a", "b")]}
    with run_gateway(tmp_path_factory.mktemp("trusting"), configuration(manager.port, security=trusting)) as gateway:
        assert gateway.http.get("/v1/models").status_code == 200


def test_allowlist_knows_networks_addresses_and_mapped_addresses() -> None:
    allowlist = Allowlist(["192.168.1.0/24", "2001:db8::1"])
    assert [allowlist.allows(host) for host in ("192.168.1.9", "::ffff:192.168.1.9", "2001:db8::1")] == [True] * 3
    assert [allowlist.allows(host) for host in ("192.168.2.9", "2001:db8::2", "", "testclient")] == [False] * 4
    assert Allowlist([]).allows("anything")
    assert is_loopback("127.0.0.1")
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("10.0.0.1")


@pytest.mark.parametrize("placeholder", ["", "change-me"])
def test_placeholders_ask_for_no_key(placeholder: str) -> None:
    assert not Keyring(Settings(gateway=GatewaySettings(api_key=placeholder)))


def test_a_hash_does_not_open_what_it_locks() -> None:
    security = SecuritySettings(api_keys=(ApiKey(name="a", key_hash=hash_key("clé")),))
    keyring = Keyring(Settings(security=security))
    assert keyring.identify("clé".encode().decode("latin-1")).name == "a", "keys come as the bytes of UTF-8"
    with pytest.raises(Unauthorized):
        keyring.identify(hash_key("clé"))


def test_window_slides() -> None:
    window = SlidingWindow(4, 60)
    for _ in range(4):
        assert window.wait(30) == 0
        window.take()
    assert window.wait(30) == pytest.approx(30 + 15)  # the next window, when a quarter of this one's four has faded
    assert window.wait(60) == pytest.approx(15)
    assert window.wait(75.1) == 0
    window.take()
    assert window.wait(75.1) == pytest.approx(14.9)
    assert window.wait(300) == 0, "what lies two windows back is forgotten"


@pytest.mark.parametrize("now", [0.0, 12.5, 59.0, 61.0, 90.0])
def test_after_the_told_wait_a_request_fits(now: float) -> None:
    window = SlidingWindow(3, 60)
    for later in (0, 0, 20, 11, 0, 5):
        now += later
        if (wait := window.wait(now)) > 0:
            assert window.wait(now + wait - 0.01) > 0
            now += wait + 1e-6
            assert window.wait(now) == 0
        window.take()


def test_envelope_is_valid_json_on_a_raw_connection(locked: Gateway) -> None:
    answer = httpx2.get(f"{locked.address}/v1/models", headers={"authorization": b"Bearer \xff\xfe"})
    assert answer.status_code == 401
    json.loads(answer.content)
