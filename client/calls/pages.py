"""Crawling: a web page's title, text and screenshot."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from client.call import ApiCall, body_of, known_fields


@dataclass(frozen=True, slots=True)
class CrawledPage:
    """A page. `url` is where redirects led, `screenshot` the bytes of a PNG file."""

    url: str
    status: int
    title: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    links: list[dict[str, str]] = field(default_factory=list)
    screenshot: bytes | None = None


def crawl(url: str, *, model: str | None = None, **fields: Any) -> ApiCall[CrawledPage]:
    """Open a page in a browser and read it. `fields` are those of `POST /v1/crawl`, such as `screenshot=True`."""
    return ApiCall("POST", "/v1/crawl", _page, body_of(model=model, url=url, **fields))


def _page(document: dict[str, Any]) -> CrawledPage:
    file = document.get("screenshot_base64")
    return known_fields(CrawledPage, document, screenshot=base64.b64decode(file) if file else None)
