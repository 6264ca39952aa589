"""What the playground shows of texts, pages and images of texts, with real MiniLM, OCR and crawling."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.e2e.ui.browsing import OpenPage, expect, expect_said
from tests.e2e.ui.playground.conftest import EVIL
from tests.e2e.ui.playground_page import choose_image, open_tab, run
from tests.support.engine_cases import text_image
from tests.support.web_site import WebSite, web_site

TEXTS = ["A cat sleeps.", "A kitten naps.", "The stock market fell.", EVIL]


@pytest.fixture(scope="module")
def site() -> Iterator[WebSite]:
    with web_site() as site:
        links = f"<a href=/other>{EVIL.replace('<', '&lt;')}</a> <a href='javascript:alert(1)'>bad</a>"
        site.html("/", f"<p>Two engines live here. {links}</p>", head=f"<title>{EVIL.replace('<', '&lt;')}</title>")
        yield site


def test_similar_texts_are_seen_in_a_matrix(window: OpenPage) -> None:
    page = open_tab(window, "embeddings", "minilm")
    page.get_by_role("textbox", name="Input", exact=True).fill("\n".join(TEXTS))
    answer = run(page)
    cells = answer.locator(".similarities td[title]")
    expect(cells).to_have_count(16)
    values = [float(text) for text in cells.all_inner_texts()]
    assert values[0] == values[5] == values[10] == 1
    assert values[1] == values[4] > values[2] + 0.2
    expect(answer).to_contain_text("4 vectors of 384 numbers")
    assert "pwned" not in page.title()
    window.check_part(".task-output")


def test_ranked_documents_have_bars(window: OpenPage) -> None:
    page = open_tab(window, "rerank", "first")
    page.get_by_label("Documents *").fill(f"The engine house.\nA lake.\n{EVIL}")
    answer = run(page)
    scores = answer.locator("meter").evaluate_all("(bars) => bars.map((bar) => bar.value)")
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert answer.locator("meter").first.get_attribute("max") == "1"  # a bar does not look full because it is the first
    expect(answer).to_contain_text("onerror=")
    assert "pwned" not in page.title()
    window.check_part(".task-output")


def test_page_is_crawled_and_shown_as_text(window: OpenPage, site: WebSite) -> None:
    page = open_tab(window, "crawl")
    page.get_by_label("Url *").fill(site.url)
    page.get_by_text("More options").click()
    page.get_by_label("Links", exact=True).check()
    page.get_by_label("Screenshot", exact=True).check()
    answer = run(page)
    expect(answer.get_by_role("heading", level=3)).to_contain_text("onerror=document.title")
    expect(answer.get_by_label("Text of the page")).to_contain_text("Two engines live here.")
    screenshot = answer.get_by_alt_text("Screenshot of the page")
    expect(screenshot).to_have_js_property("complete", value=True)
    assert screenshot.evaluate("(image) => image.naturalWidth") > 100
    answer.get_by_text("links", exact=False).first.click()
    addresses = answer.locator("details a").evaluate_all("(links) => links.map((link) => link.href)")
    assert addresses
    assert all(address.startswith("http") for address in addresses)
    assert "pwned" not in page.title()
    window.check_part(".task-output")


def test_text_is_shown_over_the_image_and_copied(window: OpenPage) -> None:
    window.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = open_tab(window, "ocr", "reader")
    choose_image(page, {"name": "a.png", "mimeType": "image/png", "buffer": base64.b64decode(text_image("Hello"))})
    answer = run(page)
    expect(answer.locator(".ocr-line text")).to_contain_text("Hello")
    expect(answer.get_by_label("Lines")).to_contain_text("Hello")
    answer.get_by_role("button", name="Copy the text").click()
    expect_said(page, "Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "Hello"
    answer.get_by_label("Text over the image").uncheck()
    expect(answer.locator(".ocr-line text")).to_have_count(0)
    window.check_accessible()
