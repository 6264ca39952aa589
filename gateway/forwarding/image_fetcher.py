"""Fetches images that a request gives by URL: from public or allowed addresses, within limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
from yarl import URL

from contract.addresses import Allowed, NotPublic, check_host, is_public
from contract.asgi.body_memory import hold
from contract.checked_client import client_session
from contract.errors import BadImage
from contract.media import ImageInput, data_uri

TIMEOUT = 10
MAX_REDIRECTS = 3
MAX_IMAGES = 32
"""Image URLs in one request. Without a limit, the gateway could be used to attack other sites."""
_CONCURRENT = 4


class ImageFetcher:
    """Downloads images. `limit` is the total number of bytes that one request may fetch."""

    def __init__(self, limit: int, allowed: Allowed = is_public) -> None:
        self._limit = limit
        self._allowed = allowed

    async def inline(self, images: Sequence[ImageInput]) -> None:
        """Replace each image's URL with its content as a data URI. Raises BadImage; the message contains the URL."""
        if len(images) > MAX_IMAGES:
            raise BadImage(f"{len(images)} image URLs are too many for one request; send at most {MAX_IMAGES}.")
        allowance = _Allowance(self._limit)
        slots = asyncio.Semaphore(_CONCURRENT)
        async with client_session(self._allowed) as client:
            tasks = [asyncio.create_task(self._inline(client, image, allowance, slots)) for image in images]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

    async def _inline(
        self, client: aiohttp.ClientSession, image: ImageInput, allowance: _Allowance, slots: asyncio.Semaphore
    ) -> None:
        try:
            image.value = await self._fetch(client, image.url, allowance, slots)
        except BadImage as error:
            error.image = image
            raise

    async def _fetch(
        self, client: aiohttp.ClientSession, url: str | None, allowance: _Allowance, slots: asyncio.Semaphore
    ) -> str:
        assert url is not None, "only images with a URL are fetched"
        try:
            async with slots, asyncio.timeout(TIMEOUT):
                content, media_type = await self._get(client, _parse(url), allowance)
        except TimeoutError:
            message = f"{_shorten(url)} did not respond within {TIMEOUT} s. Send the image itself."
            raise BadImage(message) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a name with empty or long labels
            raise _fetch_error(url, error) from error
        return await asyncio.to_thread(_as_data_uri, content, media_type)

    async def _get(self, client: aiohttp.ClientSession, url: URL, allowance: _Allowance) -> tuple[bytearray, str]:
        for _ in range(MAX_REDIRECTS + 1):
            self._check(url)
            async with client.get(url, allow_redirects=False, headers={"accept": "image/*"}) as response:
                if response.status in {301, 302, 303, 307, 308} and "location" in response.headers:
                    url = url.join(_parse(response.headers["location"]))
                    continue
                if response.status != 200:
                    message = f"{_shorten(str(url))} responded with status {response.status}."
                    raise BadImage(f"{message} Check the URL, or send the image itself.")
                return await _read(response, allowance), response.content_type
        raise BadImage(f"{_shorten(str(url))}: more than {MAX_REDIRECTS} redirects. Send the image's final URL.")

    def _check(self, url: URL) -> None:
        """Check the scheme, and a host that is an IP address."""
        if url.scheme not in {"http", "https"} or not url.host:
            raise BadImage(f"{_shorten(str(url))}: only http and https URLs are fetched.")
        check_host(url.host, self._allowed)


class _Allowance:
    """The bytes that a request may still fetch, shared by all of its images."""

    def __init__(self, limit: int) -> None:
        self.limit = self.remaining = limit

    def take(self, count: int) -> None:
        """Use `count` bytes. Raises BadImage when not enough remain, and BodyMemoryFull."""
        self.remaining -= count
        if self.remaining < 0:
            message = f"The images at the URLs have more than {self.limit / 2**20:g} MiB in total."
            raise BadImage(f"{message} Send fewer or smaller images.")
        hold(count)


async def _read(response: aiohttp.ClientResponse, allowance: _Allowance) -> bytearray:
    if (response.content_length or 0) > allowance.remaining:
        allowance.take(response.content_length or 0)  # raises before anything is read
    content = bytearray()
    async for chunk in response.content.iter_any():
        allowance.take(len(chunk))
        content += chunk
    return content


def _parse(url: str) -> URL:
    try:
        return URL(url)
    except ValueError:
        raise BadImage(f"{_shorten(url)} is not a valid URL. Check it, or send the image itself.") from None


def _as_data_uri(content: bytearray, media_type: str) -> str:
    """The image as a data URI. Raises BadImage when it is none."""
    image = bytes(content)
    ImageInput(image).check()
    return data_uri(image, media_type if media_type.startswith("image/") else "image/png")


def _fetch_error(url: str, error: Exception) -> BadImage:
    if isinstance(error, NotPublic) or isinstance(error.__cause__, NotPublic):
        message = f"{_shorten(url)} leads to an address that is not public. Send the image itself."
    else:
        message = f"{_shorten(url)} could not be fetched ({type(error).__name__}). Check it, or send the image itself."
    return BadImage(message)


def _shorten(url: str) -> str:
    return url if len(url) <= 200 else url[:200] + "…"
