"""Fetching images from a real server on this machine, by fetchers that allow local addresses and ones that do not."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from contract.errors import BadImage
from contract.media import ImageInput
from gateway.forwarding import image_fetcher
from gateway.forwarding.image_fetcher import ImageFetcher, is_public
from tests.support.sample_images import png

IMAGE = png(8, 8)
Handler = Callable[[web.Request], object]


@asynccontextmanager
async def site(**pages: Handler) -> AsyncIterator[str]:
    """Run a web site with these pages; yields its address."""
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


async def image_page(_: web.Request) -> web.Response:
    return web.Response(body=IMAGE, content_type="image/x-odd")


async def test_inlines_an_image_as_data_uri_after_redirects() -> None:
    async def here(_: web.Request) -> web.Response:
        raise web.HTTPFound("/there")

    async with site(here=here, there=image_page) as address:
        value = await get(f"{address}/here")
    assert value == "data:image/x-odd;base64," + base64.b64encode(IMAGE).decode()


async def test_limits_redirects_in_number_and_scheme() -> None:
    async def again(_: web.Request) -> web.Response:
        raise web.HTTPFound("/again")

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("file:///etc/passwd")

    async with site(again=again, elsewhere=elsewhere) as address:
        with pytest.raises(BadImage, match="only http and https"):
            await get(f"{address}/elsewhere")
        with pytest.raises(BadImage, match="redirects"):
            await get(f"{address}/again")


async def test_rejects_responses_that_are_not_images() -> None:
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


async def test_limits_size_with_and_without_content_length() -> None:
    async def sized(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 5000)

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 1000)

    async with site(sized=sized, endless=endless) as address:
        for page in ("sized", "endless"):
            with pytest.raises(BadImage, match="more than"):
                await get(f"{address}/{page}", ImageFetcher(4000, anywhere))


async def test_images_of_a_request_share_one_limit() -> None:
    async with site(image=image_page) as address:
        fetcher = ImageFetcher(len(IMAGE) * 3, anywhere)
        await fetcher.inline([ImageInput(f"{address}/image") for _ in range(3)])
        with pytest.raises(BadImage, match="more than"):
            await fetcher.inline([ImageInput(f"{address}/image") for _ in range(4)])
    with pytest.raises(BadImage, match="too many"):
        await fetcher.inline([ImageInput("http://x/")] * (image_fetcher.MAX_IMAGES + 1))


async def test_limits_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_fetcher, "TIMEOUT", 0.2)

    async def never(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await asyncio.Event().wait()
        return answer

    async with site(never=never) as address:
        with pytest.raises(BadImage, match="did not respond"):
            await get(f"{address}/never")


async def test_rejects_redirects_to_private_addresses() -> None:
    """The first address is allowed, like that of a public site; the one it redirects to is not."""
    checked: list[str] = []

    def only_first(address: image_fetcher.IPAddress) -> bool:
        checked.append(str(address))
        return len(checked) == 1

    async def inwards(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.2:1/secret")

    async with site(inwards=inwards) as address:
        with pytest.raises(BadImage, match="not public"):
            await get(f"{address}/inwards", ImageFetcher(2**20, only_first))
    assert checked == ["127.0.0.1", "127.0.0.2"]


async def test_connects_to_the_address_it_has_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding does not help an attacker, because every name is resolved only once."""
    resolved: list[str] = []
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def changing(host: str, *args: object, **kwargs: object) -> object:
        resolved.append(host)
        return await real("127.0.0.1" if len(resolved) == 1 else "127.0.0.2", *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "getaddrinfo", changing)
    async with site(image=image_page) as address:
        port = address.rpartition(":")[2]
        assert (await get(f"http://rebinding.example:{port}/image")).startswith("data:")
    assert resolved.count("rebinding.example") == 1


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
async def test_rejects_urls_of_addresses_that_are_not_public(url: str) -> None:
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
        ("64:ff9b:1::a00:1", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
        ("::10.0.0.1", False),
        ("5f00::1", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
    ],
)
def test_recognizes_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public
