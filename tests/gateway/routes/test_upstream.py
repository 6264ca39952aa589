"""Paths below /upstream: which model they mean, and what of them reaches the server."""

from __future__ import annotations

import pytest

from contract.errors import ModelNotFound
from contract.status import ModelStatus
from gateway.forwarding.model_table import ModelTable
from gateway.routes.upstream import split
from tests.support.gateway_processes import GatewayProcess

TABLE = ModelTable(
    ModelStatus(id=id_, engine="command", tasks=("chat",), features=("*",), aliases=aliases)
    for id_, aliases in (("m", ()), ("org", ()), ("org/name", ("o/n/a",)), ("org/name:8b", ()), ("modèle", ()))
)


@pytest.mark.parametrize(
    ("path", "model", "rest"),
    [
        ("/upstream/m/v1/x", "m", "/v1/x"),
        ("/upstream/m", "m", ""),
        ("/upstream/m/", "m", "/"),
        ("/upstream/m//a%2Fb/%25/", "m", "//a%2Fb/%25/"),
        ("/upstream/org/x", "org", "/x"),
        ("/upstream/org/name/x", "org/name", "/x"),
        ("/upstream/org%2fname/x", "org/name", "/x"),
        ("/upstream/org/name%3A8b/x", "org/name:8b", "/x"),
        ("/upstream/o/n/a", "org/name", ""),
        ("/upstream/mod%C3%A8le/x", "modèle", "/x"),
        ("/upstream/org/name2", "org", "/name2"),
    ],
)
def test_longest_configured_name_counts(path: str, model: str, rest: str) -> None:
    target = split(path, TABLE)
    assert (target.model.id, target.path) == (model, rest)
    assert target.prefix + rest == path


@pytest.mark.parametrize("path", ["/upstream/", "/upstream/mm/x", "/upstream//m", "/upstream/" + "a/" * 30_000])
def test_unknown_name_is_refused(path: str) -> None:
    with pytest.raises(ModelNotFound):
        split(path, TABLE)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/upstream/ok/v1/x", 404, "serves chat at POST /v1/chat/completions, embeddings at POST /v1/embeddings"),
        ("/upstream/externel/x", 404, "Did you mean 'external'?"),
        ("/upstream/external/a/%2e%2e/x", 404, "may not have the segments"),
    ],
)
def test_refusal_says_what_is_served(gateway: GatewayProcess, path: str, status: int, message: str) -> None:
    answer = gateway.http.get(path)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


def test_name_alone_leads_to_the_servers_root(gateway: GatewayProcess) -> None:
    answer = gateway.http.get("/upstream/external?x=1")
    assert (answer.status_code, answer.headers["location"]) == (307, "/upstream/external/?x=1")


def test_trace_and_foreign_pages_are_refused(gateway: GatewayProcess) -> None:
    assert gateway.http.request("TRACE", "/upstream/external/x").status_code == 405
    page = {"origin": "https://evil.example"}
    assert gateway.http.get("/upstream/external/x", headers=page).status_code == 403
    image = {"sec-fetch-site": "cross-site"}
    assert gateway.http.get("/v1/x?model=external", headers=image).status_code == 403
