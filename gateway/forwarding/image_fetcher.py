"""Fetches pictures that a request names by URL: public addresses only, within a size and a time."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from contract.errors import BadImage
from contract.media import ImageInput, data_uri

SECONDS = 10
REDIRECTS = 3
MOST = 32
"""Pictures by URL in one request: more would make the gateway a tool against other sites."""
_AT_ONCE = 4

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class _Refused(OSError):
    """The address is not a public one."""


def is_public(address: IPAddress) -> bool:
    """Whether anyone on the internet can reach the address: no loopback, private, link-local or tunnelled one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address.sixtofour or address.teredo or address in _NAT64:
            return False
    return address.is_global and not address.is_multicast


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class _CheckedResolver(AbstractResolver):
    """Hands out checked addresses alone. The connection is made to just these, so a second look-up cannot differ."""

    def __init__(self, allowed: Callable[[IPAddress], bool]) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        if not all(self._allowed(ipaddress.ip_address(str(address[0]))) for *_, address in found):
            raise _Refused
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=0)
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


class ImageFetcher:
    """Downloads pictures. `limit` is the most bytes that one request may fetch in all."""

    def __init__(self, limit: int, allowed: Callable[[IPAddress], bool] = is_public) -> None:
        self._limit = limit
        self._allowed = allowed

    async def inline(self, images: Sequence[ImageInput]) -> None:
        """Replace each picture's URL by its content as a data URI. Raises BadImage, which names the URL."""
        if len(images) > MOST:
            raise BadImage(f"{len(images)} pictures by URL are too many for one request; send at most {MOST}.")
        left = _Allowance(self._limit)
        turn = asyncio.Semaphore(_AT_ONCE)
        async with self._client() as client:
            tasks = [asyncio.create_task(self._inline(client, image, left, turn)) for image in images]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

    def _client(self) -> aiohttp.ClientSession:
        # Redirected requests carry nothing over: no cookies, no proxy of the environment.
        connector = aiohttp.TCPConnector(resolver=_CheckedResolver(self._allowed), use_dns_cache=False)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    async def _inline(
        self, client: aiohttp.ClientSession, image: ImageInput, left: _Allowance, turn: asyncio.Semaphore
    ) -> None:
        try:
            image.value = await self._fetched(client, image.url, left, turn)
        except BadImage as error:
            error.image = image
            raise

    async def _fetched(
        self, client: aiohttp.ClientSession, address: str | None, left: _Allowance, turn: asyncio.Semaphore
    ) -> str:
        assert address is not None, "only pictures with a URL are fetched"
        try:
            async with turn, asyncio.timeout(SECONDS):
                content, media_type = await self._get(client, _parsed(address), left)
        except TimeoutError:
            raise BadImage(f"{_short(address)} did not answer within {SECONDS} s. Send the picture itself.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failed(address, error) from error
        return await asyncio.to_thread(_checked, content, media_type)

    async def _get(self, client: aiohttp.ClientSession, url: URL, left: _Allowance) -> tuple[bytearray, str]:
        for _ in range(REDIRECTS + 1):
            self._check(url)
            async with client.get(url, allow_redirects=False, headers={"accept": "image/*"}) as response:
                if response.status in {301, 302, 303, 307, 308} and "location" in response.headers:
                    url = url.join(_parsed(response.headers["location"]))
                    continue
                if response.status != 200:
                    raise BadImage(
                        f"{_short(str(url))} answered {response.status}. Check the URL, or send the picture."
                    )
                return await _read(response, left), response.content_type
        raise BadImage(f"{_short(str(url))}: more than {REDIRECTS} redirects. Send the picture's own URL.")

    def _check(self, url: URL) -> None:
        """The scheme, and the host where it is an address already, which no resolver sees."""
        if url.scheme not in {"http", "https"} or not url.host:
            raise BadImage(f"{_short(str(url))}: only http and https URLs are fetched.")
        try:
            address = ipaddress.ip_address(url.host)
        except ValueError:
            return
        if not self._allowed(address):
            raise _Refused


class _Allowance:
    """Bytes that a request may still fetch, shared by its pictures."""

    def __init__(self, left: int) -> None:
        self.limit = self.left = left

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise BadImage(f"The pictures behind the URLs are larger than {self.limit / 2**20:g} MiB in all.")


async def _read(response: aiohttp.ClientResponse, left: _Allowance) -> bytearray:
    if (response.content_length or 0) > left.left:
        left.take(response.content_length or 0)
    content = bytearray()
    async for chunk in response.content.iter_any():
        left.take(len(chunk))
        content += chunk
    return content


def _parsed(address: str) -> URL:
    try:
        return URL(address)
    except ValueError:
        raise BadImage(f"{_short(address)} is not a valid URL.") from None


def _checked(content: bytearray, media_type: str) -> str:
    picture = bytes(content)
    ImageInput(picture).check()
    return data_uri(picture, media_type if media_type.startswith("image/") else "image/png")


def _failed(address: str, error: Exception) -> BadImage:
    if isinstance(error, _Refused) or isinstance(error.__cause__, _Refused):
        message = f"{_short(address)} leads to an address that is not public, which is not fetched. Send the picture."
    else:
        message = f"{_short(address)} could not be fetched ({type(error).__name__}). Check it, or send the picture."
    return BadImage(message)


def _short(address: str) -> str:
    return address if len(address) <= 200 else address[:200] + "…"
