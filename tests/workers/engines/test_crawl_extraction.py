"""What of a page's HTML is its title, its text and its links."""

from __future__ import annotations

from typing import Any

from contract.tasks.crawl import CrawlRequest
from workers.engines.crawl.extraction import Readable, RenderedPage, extract

PARAGRAPH = "Workers start on demand and end when they are idle, so that memory is free for other models. "
ARTICLE = f"""<!doctype html><html lang="en-GB"><head><title>An article</title>
<meta name="author" content="Ada Example"><meta name="description" content="About workers">
<meta property="og:site_name" content="The Journal"><meta property="article:published_time" content="2026-03-04"></head>
<body><nav><a href="/">Home</a><a href="/about">About us</a></nav>
<article><h1>Workers</h1><p>{PARAGRAPH * 3}</p><h2>Memory</h2><p>{PARAGRAPH} See <a href="more">more</a>.</p>
<ul><li>{PARAGRAPH}</li></ul></article><footer>Imprint, cookies and privacy</footer></body></html>"""


def read(
    html: str = ARTICLE, *, visible: str = "all that is visible", title: str = "", is_html: bool = True, **fields: Any
) -> Readable:
    page = RenderedPage("https://example.com/a/page", html, visible, title, is_html)
    return extract(page, CrawlRequest(url=page.url, **fields))


def test_text_is_the_main_content() -> None:
    readable = read()
    assert readable.text.startswith("Workers")
    assert PARAGRAPH.strip() in readable.text
    assert "Imprint" not in readable.text
    assert "About us" not in readable.text
    assert not readable.whole_page


def test_markdown_keeps_headings_lists_and_links() -> None:
    text = read(format="markdown").text
    assert "# Workers" in text
    assert "## Memory" in text
    assert "](https://example.com/a/more)" in text
    assert f"- {PARAGRAPH.strip()}" in text


def test_html_is_the_page_as_it_is() -> None:
    assert read(format="html").text == ARTICLE


def test_all_visible_text_on_request_and_for_want_of_a_main_text() -> None:
    assert read(main_content=False).text == "all that is visible"
    empty = read("<html><body><div></div></body></html>", visible="Go")
    assert (empty.text, empty.whole_page) == ("Go", True)


def test_plain_text_is_not_taken_apart() -> None:
    readable = read("<html><body><pre>a  b</pre></body></html>", visible="a  b", is_html=False)
    assert (readable.text, readable.whole_page) == ("a  b", False)


def test_title_and_metadata() -> None:
    readable = read(title="The browser's title")
    assert readable.title == "The browser's title"
    assert read().title == "Workers"
    assert readable.metadata.model_dump() == {
        "author": "Ada Example",
        "date": "2026-03-04",
        "description": "About workers",
        "site_name": "The Journal",
        "language": "en-GB",
    }


def test_links_are_absolute_and_each_once() -> None:
    html = """<html><head><base href="https://other.example/x/"></head><body><a href="a"> A
    page </a><a href="a">again</a><a href="mailto:a@b.c">m</a><a href="https://[">odd</a><a name="n">n</a>
    <a href="javascript:1">j</a></body></html>"""
    links = read(html, links=True).links
    assert links is not None
    assert [(link.url, link.text) for link in links] == [("https://other.example/x/a", "A page")]
    assert read(html).links is None


def test_documents_without_content_are_empty() -> None:
    readable = read("", visible="", links=True)
    assert (readable.title, readable.text, readable.links) == ("", "", [])
