"""Known host names: which are, which are not, and what the error says."""

from __future__ import annotations

import asyncio
import socket

import pytest
from starlette.types import Receive, Scope, Send

from contract.asgi.hosts import HostCheck, host_name
from contract.errors import Forbidden

OWN = socket.gethostname()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    scope["reached"] = True


def reaches(host: str | None, *hosts: str, single_labels: bool = True) -> bool:
    headers = [] if host is None else [(b"host", host.encode("latin-1"))]
    scope = {"type": "http", "headers": headers}
    asyncio.run(HostCheck(app, hosts, "gateway.hosts", single_labels=single_labels)(scope, None, None))  # type: ignore[arg-type]
    return bool(scope.get("reached"))


@pytest.mark.parametrize(
    "host",
    [
        None, "", "localhost", "LOCALHOST:8000", "localhost.:8000", "app.localhost", "127.0.0.1:8000", "[::1]:8000",
        "[fe80::1%25eth0]", "192.168.1.7", "gateway:8000", "host.docker.internal:8000", OWN, f"{OWN}.local",
    ],
)  # fmt: skip
def test_knows_names_that_no_web_page_can_own(host: str | None) -> None:
    assert reaches(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "\xff.example",
        "evil.example.",
    ],
)
def test_rejects_other_names(host: str) -> None:
    with pytest.raises(Forbidden, match=r"gateway\.hosts"):
        reaches(host)


def test_rejects_a_name_that_takes_long_to_check() -> None:
    assert reaches("a." * 126 + "a", "*")
    with pytest.raises(Forbidden):
        reaches("a." * 30_000 + "a", "*")


def test_configuration_adds_names() -> None:
    assert reaches("AI.example.com:443", "ai.example.com")
    assert reaches("a.b.example.com", "*.example.com")
    assert reaches("anything.example", "*")
    for other in ("example.com", "badexample.com", "ai.example.org"):
        with pytest.raises(Forbidden):
            reaches(other, "*.example.com", "ai.example.com")


def test_names_of_one_label_may_be_refused() -> None:
    for known in ("127.0.0.1:8100", "[::1]", "app.localhost", "host.docker.internal", OWN, "localhost"):
        assert reaches(known, "localhost", single_labels=False)
    with pytest.raises(Forbidden):
        reaches("gateway:8100", "localhost", single_labels=False)


def test_reads_name_from_header() -> None:
    assert [host_name(value) for value in ("A.b.:80", "[::1]:80", " x ", "[")] == ["a.b", "::1", "x", ""]
