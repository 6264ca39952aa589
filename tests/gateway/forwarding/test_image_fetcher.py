"""Fetching images from a real server on this machine, by fetchers that allow local addresses and ones that do not."""

from __future__ import annotations

import asyncio
import base64

import pytest
from aiohttp import web

from contract.addresses import AddressRule, IPAddress
from contract.errors import BadImage
from contract.media import ImageInput
from gateway.forwarding import image_fetcher
from gateway.forwarding.image_fetcher import ImageFetcher
from tests.support.sample_images import png
from tests.support.web_site import site

IMAGE = png(8, 8)


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
        with pytest.raises(BadImage, match="a web page"):
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

    def is_site(address: IPAddress) -> bool:
        return str(address) == "127.0.0.1"

    async def inwards(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.2:1/secret")

    async with site(inwards=inwards) as address:
        with pytest.raises(BadImage, match="not public"):
            await get(f"{address}/inwards", ImageFetcher(2**20, is_site))


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


async def test_fetches_from_allowed_private_networks() -> None:
    async with site(image=image_page) as address:
        fetcher = ImageFetcher(2**20, AddressRule(["127.0.0.0/8"]))
        assert (await get(f"{address}/image", fetcher)).startswith("data:")
        with pytest.raises(BadImage, match="not public"):
            await get("http://10.0.0.1/image", fetcher)
