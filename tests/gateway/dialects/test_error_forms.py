"""Errors are in the form of the API whose path was requested."""

from __future__ import annotations

import json

import pytest

from contract.errors import BadImage, InvalidField, KilledWorkers, NeverFits, NotFound, ServeError, Unauthorized
from gateway.dialects.error_forms import form_of
from tests.support.gateway_processes import GatewayProcess


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidField("x", param="image"), "INVALID_REQUEST"),
        (BadImage("x"), "INVALID_REQUEST"),
        (KilledWorkers("x"), "INFERENCE_FAILED"),
        (NeverFits("x"), "RESOURCE_EXHAUSTED"),
        (NotFound("x"), "NOT_FOUND"),
        (Unauthorized("x"), "INVALID_API_KEY"),
    ],
)
def test_api_paths_have_upper_case_codes(error: ServeError, code: str) -> None:
    written = json.loads(form_of({"path": "/api/caption", "headers": []}).body(error, "r"))["error"]
    assert written == {**error.envelope("r")["error"], "code": code}
    assert json.loads(form_of({"path": "/v1/x", "headers": []}).body(error, "r")) == error.envelope("r")


@pytest.mark.parametrize(
    ("path", "code"),
    [("/api/nothing", "NOT_FOUND"), ("/v1/nothing", "not_found"), ("/api/models/zzz", "MODEL_NOT_FOUND")],
)
def test_running_gateway_writes_the_form_of_the_path(gateway: GatewayProcess, path: str, code: str) -> None:
    answer = gateway.http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/embed", ["/embed/", "//embed"]),
        ("/v1/messages", ["/v1/messages/", "/messages", "//v1//messages/"]),
        ("/api/chat", ["/api/chat/", "//api/chat"]),
        ("/v1/rerank", ["/v1/rerank/"]),
        ("/v1/embeddings", ["/embeddings"]),
    ],
)
def test_other_notations_of_a_path_have_its_form(gateway: GatewayProcess, path: str, sent: list[str]) -> None:
    meant = gateway.http.post(path, json=[]).json()
    for notation in sent:
        answer = gateway.http.post(gateway.address + notation, json=[])
        assert (answer.status_code, answer.json().keys()) == (400, meant.keys())


@pytest.mark.parametrize(("path", "code"), [("/api/models", "INVALID_API_KEY"), ("/v1/models", "invalid_api_key")])
def test_refusals_before_the_route_have_it_too(secured: GatewayProcess, path: str, code: str) -> None:
    answer = secured.http.get(path, headers={"origin": "https://page.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
