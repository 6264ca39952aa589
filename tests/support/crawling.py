"""A crawl engine with a real browser, and two web sites: one that it may crawl, and one inside a private network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from contract.config import ModelSpec
from contract.errors import LoadFailed, ServeError
from contract.tasks.crawl import CrawlRequest, CrawlResponse
from tests.support.engine_cases import batcher, whole
from tests.support.web_site import WebSite, web_site
from workers.engine import Call, Device
from workers.engines.crawl import Crawl

OUTSIDE, INSIDE = "127.0.0.1", "127.0.0.2"
"""The address that the tests' crawler may connect to, and one that it may not."""


@contextmanager
def crawler(**options: Any) -> Iterator[Crawl]:
    """A loaded engine. Skips the test where there is no Chromium."""
    pytest.importorskip("playwright")
    engine = Crawl()
    spec = ModelSpec(id="crawl", engine="crawl", options={"allow_private": [OUTSIDE], **options})
    try:
        engine.load(spec, Device("cpu"))
    except LoadFailed as error:
        if "There is no Chromium" in error.message:
            pytest.skip(error.message)
        raise
    try:
        yield engine
    finally:
        engine.close()


async def ask(engine: Crawl, *requests: dict[str, Any]) -> list[CrawlResponse | ServeError]:
    """The answers to requests sent at the same time."""
    served = engine.served()["crawl"]
    with batcher(engine) as running:
        tickets = [running.submit(served, Call(CrawlRequest(**request))) for request in requests]
        return [await asyncio.wait_for(whole(ticket), 100) for ticket in tickets]


async def crawl(engine: Crawl, url: str, **fields: Any) -> CrawlResponse:
    """The page, or the error raised."""
    [answer] = await ask(engine, {"url": url, **fields})
    if isinstance(answer, ServeError):
        raise answer
    return answer


@contextmanager
def site_inside() -> Iterator[WebSite]:
    """A site at an address that is not allowed. Skips the test where the system does not have the address."""
    try:
        with web_site(INSIDE) as inside:
            inside.html("/", "SECRET")
            yield inside
    except OSError as error:
        pytest.skip(f"this system has no {INSIDE}: {error}")


@contextmanager
def udp_listener() -> Iterator[socket.socket]:
    """A socket that gets what is sent by UDP to its address on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((OUTSIDE, 0))
        listener.setblocking(False)
        yield listener
