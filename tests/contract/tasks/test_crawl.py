"""Which pages a crawl accepts, and what it says of others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.errors import InvalidField
from contract.tasks.crawl import CRAWL, CrawlRequest


def decode(**fields: Any) -> CrawlRequest:
    return CRAWL.decode("application/json", json.dumps({"url": "https://example.com", **fields}).encode())


def test_the_url_alone_is_enough() -> None:
    request = decode()
    assert (request.wait_for_js, request.screenshot, request.format) == (True, False, "text")
    assert (request.timeout, request.respect_robots) == (30, True)


@pytest.mark.parametrize(
    "url", ["http://[2606:4700::1111]:8080/a?b#c", "HTTPS://例え.jp/パス", "https://user:pw@example.com"]
)
def test_accepts_web_pages(url: str) -> None:
    assert decode(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "javascript:alert(1)",
        "view-source:https://example.com",
        "chrome://version",
        "data:text/html,x",
        "about:blank",
        "//example.com",
        "example.com",
        "https://",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://example.com:99999/",
        "https://[::1",
        "",
    ],
)
def test_refuses_what_is_no_web_page(url: str) -> None:
    with pytest.raises(InvalidField) as caught:
        decode(url=url)
    assert caught.value.param == "url"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout", 0),
        ("timeout", 301),
        ("format", "pdf"),
        ("viewport", {"width": 10}),
        ("viewport", {"widht": 800}),
        ("url", "https://example.com/" + "a" * 9000),
    ],
)
def test_names_the_field_that_is_wrong(field: str, value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        decode(**{field: value})
    assert (caught.value.param or "").partition(".")[0] == field


def test_markdown_has_the_main_content_only() -> None:
    with pytest.raises(InvalidField, match="main content"):
        decode(format="markdown", main_content=False)
