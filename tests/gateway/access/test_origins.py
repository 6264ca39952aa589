"""Web pages: of which origins they may change something, over HTTP and alone."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from contract.errors import Forbidden
from gateway.access import origins
from gateway.access.origins import OriginCheck
from tests.support.gateway_processes import GatewayProcess

RELOAD, EMBED = "/v1/system/reload", "/v1/embeddings"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    scope["reached"] = True


def reaches(origin: str | None, *allowed: str, host: str = "here:8000", method: str = "POST", site: str = "") -> bool:
    headers = [(b"host", host.encode())]
    headers += [] if origin is None else [(b"origin", origin.encode("latin-1"))]
    headers += [(b"sec-fetch-site", site.encode())] if site else []
    scope = {"type": "http", "method": method, "headers": headers}
    asyncio.run(OriginCheck(app, allowed)(scope, None, None))  # type: ignore[arg-type]
    return bool(scope.get("reached"))


def test_accepts_programs_listed_origins_and_its_own() -> None:
    assert reaches(None)
    assert reaches("http://here:8000", site="same-origin")
    assert reaches("https://ai.example.com", host="ai.example.com"), "a proxy has ended TLS"
    assert reaches("https://page.example", "https://page.example", site="cross-site")
    assert reaches("tauri://localhost", "tauri://localhost")
    assert reaches("null", "*")
    assert reaches("http://evil.example", method="GET")


def test_does_not_parse_an_origin_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "URL", None)  # it would take seconds
    with pytest.raises(Forbidden, match="may not send"):
        reaches("http://" + "\xe9." * 20_000)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://here",
        "http://here:8001",
        "http://here.evil.example:8000",
        "http://[",
        "",
        "x",
    ],
)
def test_rejects_other_origins(origin: str) -> None:
    with pytest.raises(Forbidden, match="cors_origins"):
        reaches(origin, "https://page.example")


def test_rejects_other_sites_without_an_origin() -> None:
    with pytest.raises(Forbidden):
        reaches(None, site="cross-site")


def test_pages_cannot_change_anything(gateway: GatewayProcess) -> None:
    page = {"origin": "http://evil.example"}
    for path in (RELOAD, "/v1/system/evict/ok", EMBED):
        answer = gateway.http.post(path, json={"model": "ok", "input": "x"}, headers=page)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert gateway.http.get("/v1/system/status", headers={"host": "evil.example"}).status_code == 403
    own = {"origin": gateway.address}
    assert gateway.http.post(EMBED, json={"model": "ok", "input": "x"}, headers=own).status_code == 200


def test_needs_a_content_type(gateway: GatewayProcess) -> None:
    answer = gateway.http.post(EMBED, content=b'{"model": "ok", "input": "x"}')
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("sent", [{}, {"content-type": "application/x-www-form-urlencoded"}])
def test_ollamas_paths_read_json_of_any_type(gateway: GatewayProcess, sent: dict[str, str]) -> None:
    """As curl and LiteLLM send it. Pages of other origins are refused whatever the type."""
    for path, body in (("/api/embed", b'{"model": "ok", "input": "x"}'), ("/api/show", b'{"model": "nope"}')):
        answer = gateway.http.post(path, content=body, headers=sent)
        assert answer.status_code == (200 if path == "/api/embed" else 404), answer.text
        page = gateway.http.post(path, content=body, headers={**sent, "origin": "http://evil.example"})
        assert page.status_code == 403
    assert gateway.http.post("/api/embed", content=b"a=b", headers=sent).status_code == 400
    assert gateway.http.post("/api/caption", content=b"{}", headers=sent).status_code == 415
