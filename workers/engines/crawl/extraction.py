"""Title, readable text and links of a page, from the HTML that the browser shows.

trafilatura finds the main text. Of the libraries that do, it does best in independent comparisons, writes Markdown too,
is maintained (Apache-2.0) and needs little: lxml, and its author's htmldate, courlan and justext.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from contract.tasks.crawl import MAX_LINKS, CrawlRequest, PageLink, PageMetadata

_FORMATS = {"text": "txt", "markdown": "markdown"}
_LINK_TEXT = 1000


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """What the browser shows. `is_html`: the browser did not make the HTML itself, as it does for plain text."""

    url: str
    html: str
    visible_text: str
    title: str
    is_html: bool = True


@dataclass(frozen=True, slots=True)
class Readable:
    """What a reader wants of a page. `whole_page`: no main text was found, so that `text` is all of it."""

    title: str
    text: str
    metadata: PageMetadata
    links: list[PageLink] | None
    whole_page: bool = False


def extract(page: RenderedPage, request: CrawlRequest) -> Readable:
    """What the request asks for. Takes up to a second for a large page, so run it in a thread."""
    import trafilatura

    document = _parse(page)
    found: Any = None
    if document is not None and page.is_html:
        found = trafilatura.extract_metadata(copy.deepcopy(document), default_url=page.url)
    text, whole_page = _text(page, document, request)
    return Readable(
        title=page.title.strip() or _value(found, "title") or "",
        text=text,
        metadata=PageMetadata(
            author=_value(found, "author"),
            date=_value(found, "date"),
            description=_value(found, "description"),
            site_name=_value(found, "sitename"),
            language=document.get("lang") if document is not None else None,
        ),
        links=_links(document) if request.links else None,
        whole_page=whole_page,
    )


def _parse(page: RenderedPage) -> Any:
    """The document with absolute links, which trafilatura would resolve without the page's path; None if empty."""
    from lxml import etree, html

    try:
        document: Any = html.document_fromstring(page.html.encode(), parser=html.HTMLParser(encoding="utf-8"))
    except etree.ParserError:
        return None
    _make_links_absolute(document, page.url)
    return document


def _make_links_absolute(document: Any, url: str) -> None:
    base = next(iter(document.xpath("//base/@href")), "")
    for anchor in document.xpath("//a[@href] | //area[@href]"):
        try:
            anchor.set("href", urljoin(urljoin(url, base), anchor.get("href").strip()))
        except ValueError:  # such as a bracket without its pair
            del anchor.attrib["href"]


def _text(page: RenderedPage, document: Any, request: CrawlRequest) -> tuple[str, bool]:
    """The text in the requested form, and whether it is that of the whole page for want of a main text."""
    import trafilatura

    if request.format == "html":
        return page.html, False
    if document is None or not (page.is_html and request.main_content):
        return page.visible_text.strip(), False
    markdown = request.format == "markdown"
    text = trafilatura.extract(
        copy.deepcopy(document),
        url=page.url,
        output_format=_FORMATS[request.format],
        include_comments=False,
        include_formatting=markdown,
        include_links=markdown,
    )
    return (text.strip(), False) if text else (page.visible_text.strip(), True)


def _links(document: Any) -> list[PageLink]:
    """The document's links to web pages, each target once, in its order."""
    links: dict[str, str] = {}
    for anchor in document.iter("a", "area") if document is not None else ():
        if len(links) == MAX_LINKS:
            break
        target = (anchor.get("href") or "").strip()
        if target.startswith(("http://", "https://")):
            text = " ".join("".join(anchor.itertext()).split())[:_LINK_TEXT]
            links[target] = links.get(target) or text
    return [PageLink(url=target, text=text) for target, text in links.items()]


def _value(found: Any, name: str) -> str | None:
    value = getattr(found, name, None)
    return (str(value).strip() or None) if value else None
