"""robots.txt: whether a site allows its pages to be crawled by us (RFC 9309).

Protego reads the rules, because the standard library's parser knows neither wildcards nor which of several rules is the
most specific one. It is maintained by Scrapy's authors and needs no other library.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import aiohttp

from contract.addresses import Allowed, check_host
from contract.checked_client import client_session

if TYPE_CHECKING:
    from protego import Protego

TIMEOUT = 10
MAX_BYTES = 512 * 1024
"""RFC 9309 asks for at least 500 KiB."""
MAX_REDIRECTS = 5
KEEP = 3600
"""Seconds for which a site's rules are used again."""
_SITES = 512

_EVERYTHING, _NOTHING = "", "User-agent: *\nDisallow: /"
"""Without rules, all pages may be crawled; while a site fails to answer, none."""


@dataclass(frozen=True, slots=True)
class _Rules:
    parser: Protego
    until: float


class Robots:
    """The rules of sites, each fetched once an hour. `agent` is the product name that sites address us by."""

    def __init__(self, agent: str, allowed: Allowed) -> None:
        self._agent = agent
        self._allowed = allowed
        self._sites: OrderedDict[str, _Rules] = OrderedDict()

    async def allow(self, url: str) -> bool:
        """Whether the page may be crawled. While the site's server fails, it may not.

        Raises OSError if the server cannot be reached: NotPublic if that is because of its address.
        """
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        rules = self._sites.get(site)
        if rules is None or rules.until < time.monotonic():
            rules = self._sites[site] = await self._fetch(site)
            if len(self._sites) > _SITES:
                self._sites.popitem(last=False)
        return bool(rules.parser.can_fetch(url, self._agent))

    async def _fetch(self, site: str) -> _Rules:
        from protego import Protego

        try:
            async with asyncio.timeout(TIMEOUT), client_session(self._allowed) as client:
                text = await self._get(client, f"{site}/robots.txt")
        except aiohttp.ClientResponseError:
            return _Rules(Protego.parse(_NOTHING), 0)  # and ask again for the next page
        except aiohttp.ClientOSError as error:
            raise _cause(error) from error
        except (aiohttp.ClientError, ValueError) as error:  # ValueError: a name with empty or long labels
            raise ConnectionError(str(error) or type(error).__name__) from error
        parser = await asyncio.to_thread(Protego.parse, text)
        return _Rules(parser, time.monotonic() + KEEP)

    async def _get(self, client: aiohttp.ClientSession, url: str) -> str:
        """The rules' text. Raises ClientResponseError if the site fails, else ClientError, OSError or ValueError."""
        for _ in range(MAX_REDIRECTS + 1):
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"}:
                return _EVERYTHING
            check_host(parts.hostname or "", self._allowed)
            headers = {"user-agent": self._agent, "accept": "text/plain"}
            async with client.get(url, allow_redirects=False, headers=headers) as response:
                if response.status in {301, 302, 303, 307, 308} and "location" in response.headers:
                    url = urljoin(url, response.headers["location"])
                elif 400 <= response.status < 500:
                    return _EVERYTHING
                else:
                    response.raise_for_status()
                    return (await _read(response)).decode("utf-8", "replace")
        return _EVERYTHING


def _cause(error: aiohttp.ClientOSError) -> OSError:
    """What went wrong, without aiohttp's wrapping."""
    return error.__cause__ if isinstance(error.__cause__, OSError) else error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) >= MAX_BYTES:
            break
    return bytes(content[:MAX_BYTES])
