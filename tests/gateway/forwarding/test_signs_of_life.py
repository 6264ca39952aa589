"""The head that a waiting stream gets: one request's headers never appear in another's."""

from __future__ import annotations

from pathlib import Path

from starlette.types import Message

from contract.config import Settings
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.signs_of_life import SignPolicy, SignsOfLife


async def head_of_a_waiting_stream(folder: Path) -> list[tuple[bytes, bytes]]:
    heads: list[list[tuple[bytes, bytes]]] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            heads.append(list(message["headers"]))
            message["headers"].append((b"x-ratelimit-limit-requests", b"5"))  # as our middleware does

    signs = SignsOfLife(ManagerClient(Settings(), folder), "id", SignPolicy(60), send)
    await signs._sign(None)
    await signs.stop()
    return heads[0]


async def test_head_is_the_same_for_every_request(tmp_path: Path) -> None:
    assert await head_of_a_waiting_stream(tmp_path) == await head_of_a_waiting_stream(tmp_path)
