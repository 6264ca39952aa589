"""Pictures by URL: a real server on this machine, for a fetcher that is told to allow it and one that is not."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from contract.errors import BadImage
from contract.media import ImageInput
from gateway.forwarding import image_fetcher
from gateway.forwarding.image_fetcher import ImageFetcher, is_public
from tests.support.sample_images import png

PICTURE = png(8, 8)
Handler = Callable[[web.Request], object]


@asynccontextmanager
async def site(**pages: Handler) -> AsyncIterator[str]:
    """A web site with these pages; yields its address."""
    app = web.Application()
    for name, page in pages.items():
        app.router.add_get(f"/{name}", page)  # type: ignore[arg-type]
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def anywhere(_: object) -> bool:
    return True


async def get(url: str, fetcher: ImageFetcher | None = None) -> str:
    image = ImageInput(url)
    await (fetcher or ImageFetcher(2**20, anywhere)).inline([image])
    assert isinstance(image.value, str)
    return image.value


async def picture(_: web.Request) -> web.Response:
    return web.Response(body=PICTURE, content_type="image/x-odd")


async def test_becomes_a_data_uri_through_redirects() -> None:
    async def here(_: web.Request) -> web.Response:
        raise web.HTTPFound("/there")

    async with site(here=here, there=picture) as address:
        value = await get(f"{address}/here")
    assert value == "data:image/x-odd;base64," + base64.b64encode(PICTURE).decode()


async def test_redirects_are_followed_neither_for_ever_nor_anywhere() -> None:
    async def again(_: web.Request) -> web.Response:
        raise web.HTTPFound("/again")

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("file:///etc/passwd")

    async with site(again=again, elsewhere=elsewhere) as address:
        with pytest.raises(BadImage, match="only http and https"):
            await get(f"{address}/elsewhere")
        with pytest.raises(BadImage, match="redirects"):
            await get(f"{address}/again")


async def test_what_is_there_must_be_a_picture() -> None:
    async def text(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async def missing(_: web.Request) -> web.Response:
        return web.Response(status=404)

    async with site(text=text, missing=missing) as address:
        with pytest.raises(BadImage, match="format is unknown"):
            await get(f"{address}/text")
        with pytest.raises(BadImage, match="responded with status 404"):
            await get(f"{address}/missing")
    with pytest.raises(BadImage, match="could not be fetched"):
        await get(f"{address}/gone")


async def test_size_is_limited_told_or_not() -> None:
    async def told(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 5000)

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 1000)

    async with site(told=told, endless=endless) as address:
        for page in ("told", "endless"):
            with pytest.raises(BadImage, match="more than"):
                await get(f"{address}/{page}", ImageFetcher(4000, anywhere))


async def test_several_share_the_limit_and_their_number_is_bounded() -> None:
    async with site(picture=picture) as address:
        fetcher = ImageFetcher(len(PICTURE) * 3, anywhere)
        await fetcher.inline([ImageInput(f"{address}/picture") for _ in range(3)])
        with pytest.raises(BadImage, match="more than"):
            await fetcher.inline([ImageInput(f"{address}/picture") for _ in range(4)])
    with pytest.raises(BadImage, match="too many"):
        await fetcher.inline([ImageInput("http://x/")] * (image_fetcher.MAX_IMAGES + 1))


async def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_fetcher, "TIMEOUT", 0.2)

    async def never(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await asyncio.Event().wait()
        return answer

    async with site(never=never) as address:
        with pytest.raises(BadImage, match="did not respond"):
            await get(f"{address}/never")


async def test_a_redirect_inwards_is_refused() -> None:
    """The first hop is allowed, as a public site would be; where it leads to is not."""
    asked: list[str] = []

    def only_first(address: image_fetcher.IPAddress) -> bool:
        asked.append(str(address))
        return len(asked) == 1

    async def inwards(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.2:1/secret")

    async with site(inwards=inwards) as address:
        with pytest.raises(BadImage, match="not public"):
            await get(f"{address}/inwards", ImageFetcher(2**20, only_first))
    assert asked == ["127.0.0.1", "127.0.0.2"]


async def test_the_checked_address_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers otherwise when asked again gains nothing: it is asked once."""
    asked: list[str] = []
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def changing(host: str, *args: object, **kwargs: object) -> object:
        asked.append(host)
        return await real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "getaddrinfo", changing)
    async with site(picture=picture) as address:
        port = address.rpartition(":")[2]
        assert (await get(f"http://rebinding.example:{port}/picture")).startswith("data:")
    assert asked.count("rebinding.example") == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://localhost/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://127.1/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:10.0.0.1]/",
        "http://[fe80::1]/",
        "https://100.64.0.1/",
        "http://user@:80/",
        "http://exa mple/",
        "http://",
    ],
)
async def test_addresses_that_are_not_public_are_refused(url: str) -> None:
    with pytest.raises(BadImage):
        await get(url, ImageFetcher(2**20))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("127.0.0.1", False),
        ("172.16.0.1", False),
        ("192.0.2.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
    ],
)
def test_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


async def test_a_replaced_picture_goes_on_in_the_request() -> None:
    from contract.tasks import all_tasks
    from gateway.forwarding.task_forwarder import _serialize

    part = {"type": "image_url", "image_url": {"url": "http://x/", "detail": "low"}, "odd": 1}
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}], "extra": [1]}
    request = all_tasks()["chat"].decode("application/json", json.dumps(body).encode())
    request.messages[0].content[0].image_url.url.value = "data:image/png;base64,AA=="
    part["image_url"]["url"] = "data:image/png;base64,AA=="  # type: ignore[index]
    assert json.loads(_serialize(request)) == body
