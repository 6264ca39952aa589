"""Keys and configuration: for admins and, without keys, for clients on the same machine only."""

from __future__ import annotations

import pytest

from contract.errors import Forbidden
from gateway.access.keys import Principal
from gateway.access.operator import require_operator


def scope(client: str = "127.0.0.1", host: str = "localhost:8000", principal: Principal | None = None, **headers: str):  # type: ignore[no-untyped-def]
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in {"host": host, **headers}.items()]
    return {"client": (client, 1), "headers": pairs, "principal": principal}


@pytest.mark.parametrize(
    "allowed",
    [
        scope(),
        scope("::1", "[::1]:8000"),
        scope(origin="http://localhost:8000"),
        scope("192.0.2.7", "house.example", Principal("boss", admin=True)),
    ],
)
def test_admins_and_this_machine_may(allowed: dict[str, object]) -> None:
    require_operator(allowed)


@pytest.mark.parametrize(
    "refused",
    [
        scope("192.0.2.7"),
        scope(host="house.example"),
        scope(x_forwarded_for="192.0.2.7"),
        scope(via="1.1 proxy"),
        scope(origin="https://page.example"),
        scope(principal=Principal("app")),
    ],
)
def test_no_other_client_may(refused: dict[str, object]) -> None:
    with pytest.raises(Forbidden):
        require_operator(refused)
