"""robots.txt: which rules of a site hold, and what happens while it cannot be read."""

from __future__ import annotations

import socket

import pytest
from aiohttp import web

from contract.addresses import AddressRule, NotPublic, is_public
from tests.support.web_site import site
from workers.engines.crawl.robots import Robots

HERE = AddressRule(["127.0.0.1"])
RULES = """
User-agent: *
Disallow: /

User-agent: enginehouse
Disallow: /private/*.html$
Allow: /private/open.html
Crawl-delay: 1
"""


def robots(allowed: object = HERE) -> Robots:
    return Robots("Enginehouse", allowed)  # type: ignore[arg-type]


async def rules(_: web.Request) -> web.Response:
    return web.Response(text=RULES)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/", True), ("/private/a.html", False), ("/private/a.html?page=2", True), ("/private/open.html", True)],
)
async def test_the_most_specific_rule_for_our_name_holds(path: str, allowed: bool) -> None:
    async with site(robots=rules) as address:
        assert await robots().allow(address + path) is allowed


async def test_rules_for_all_crawlers_hold_for_other_names() -> None:
    async with site(robots=rules) as address:
        assert not await Robots("Other", HERE).allow(address + "/")


@pytest.mark.parametrize(("status", "allowed"), [(404, True), (403, True), (500, False), (503, False)])
async def test_missing_rules_allow_and_a_failing_site_forbids(status: int, allowed: bool) -> None:
    async def failing(_: web.Request) -> web.Response:
        return web.Response(status=status, text="User-agent: *\nDisallow:")

    async with site(robots=failing) as address:
        assert await robots().allow(address + "/page") is allowed


async def test_rules_are_fetched_once_and_after_a_failure_again() -> None:
    asked: list[str] = []

    async def counting(request: web.Request) -> web.Response:
        asked.append(request.headers["user-agent"])
        return web.Response(text=RULES, status=503 if len(asked) == 1 else 200)

    async with site(robots=counting) as address:
        ours = robots()
        assert [await ours.allow(address + "/page") for _ in range(3)] == [False, True, True]
    assert asked == ["Enginehouse"] * 2


async def test_follows_redirects_but_not_into_private_networks() -> None:
    async def inwards(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.2:1/robots.txt")

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("/rules")

    async with site(robots=elsewhere, rules=rules) as address:
        assert not await robots().allow(address + "/private/a.html")
    async with site(robots=inwards) as address:
        with pytest.raises(NotPublic):
            await robots().allow(address + "/")


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://localhost:1/", "http://2130706433/", "http://[::1]/"])
async def test_asks_public_addresses_only(url: str) -> None:
    with pytest.raises(NotPublic):
        await robots(is_public).allow(url)


async def test_says_that_a_site_cannot_be_reached() -> None:
    async with site() as address:
        pass  # now nothing listens there
    with pytest.raises(ConnectionRefusedError):
        await robots().allow(address + "/")
    with pytest.raises(socket.gaierror):
        await robots().allow("http://missing.invalid/")
