"""Crawling with a real browser: waiting, screenshots, redirects, downloads, limits and crashes."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Iterator

import psutil
import pytest
from PIL import Image

from contract.errors import InvalidField, PageNotFetched
from tests.support.crawling import OUTSIDE, ask, crawl, crawler
from tests.support.web_site import Answer, WebSite, web_site
from workers.engines.crawl import Crawl

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def engine() -> Iterator[Crawl]:
    with crawler(max_page_mb=1) as engine:
        yield engine


@pytest.fixture
def site() -> Iterator[WebSite]:
    with web_site(OUTSIDE) as site:
        yield site


async def test_waits_for_a_selector(engine: Crawl, site: WebSite) -> None:
    url = site.html(
        "/slow",
        "<script>addEventListener('message', () => {}); setTimeout(() => document.body.insertAdjacentHTML("
        "'beforeend', '<p class=late>late</p>'), 1500)</script>",
    )
    assert "late" in (await crawl(engine, url, wait_for=".late", main_content=False)).text
    with pytest.raises(InvalidField, match="not a CSS selector") as caught:
        await crawl(engine, url, wait_for="p[")
    assert caught.value.param == "wait_for"
    for timeout in (2, 10, 50):
        with pytest.raises(PageNotFetched, match=f"longer than {timeout} s") as late:
            await crawl(engine, url, wait_for=".never", timeout=timeout)
        if "'.never'" in late.value.message:  # a busy machine may take longer for the page itself
            break
    assert "'.never'" in late.value.message


async def test_takes_screenshots_of_window_and_page(engine: Crawl, site: WebSite) -> None:
    url = site.html(
        "/tall", "<div style='height:3000px;background:rgb(0,128,0)'></div>", "<style>body{margin:0}</style>"
    )
    window, page, plain = await ask(
        engine,
        {"url": url, "screenshot": True, "viewport": {"width": 640, "height": 480}},
        {"url": url, "screenshot": True, "full_page": True, "wait_for_js": False},
        {"url": url},
    )
    sizes = [Image.open(io.BytesIO(base64.b64decode(answer.screenshot_base64))).size for answer in (window, page)]
    assert sizes == [(640, 480), (1280, 3000)]
    image = Image.open(io.BytesIO(base64.b64decode(window.screenshot_base64))).convert("RGB")
    assert image.getpixel((320, 240)) == (0, 128, 0)
    assert "screenshot_base64" not in plain.model_dump_json()


async def test_very_tall_pages_are_cut_with_a_warning(engine: Crawl, site: WebSite) -> None:
    url = site.html("/endless", "<div style='height:20000px'></div>")
    page = await crawl(engine, url, screenshot=True, full_page=True, viewport={"width": 200, "height": 200})
    assert Image.open(io.BytesIO(base64.b64decode(page.screenshot_base64 or ""))).height == 16384
    assert any("16384" in warning for warning in page.warnings or ())


async def test_follows_redirects_and_scripts_to_the_page(engine: Crawl, site: WebSite) -> None:
    end = site.html("/end", "arrived", "<title>End</title>")
    site.html("/script", "<script>location = '/end'</script>")
    site.html("/meta", "", "<meta http-equiv=refresh content='0; url=/script'>")
    page = await crawl(engine, site.redirect("/start", "/meta"))
    assert (page.url, page.title) == (end, "End")


async def test_gives_up_pages_that_lead_on_without_end(engine: Crawl, site: WebSite) -> None:
    url = site.redirect("/loop", "/loop")
    script = site.html("/a", "<script>location = '/b'</script>")
    site.html("/b", "<script>location = '/a'</script>")
    for start in (url, script):
        with pytest.raises(PageNotFetched, match=r"opened: |without end"):
            await crawl(engine, start)


async def test_error_pages_are_answers_with_a_warning(engine: Crawl, site: WebSite) -> None:
    page = await crawl(engine, site.url + "/missing")
    assert (page.status, page.text) == (404, "missing")
    assert "status 404" in " ".join(page.warnings or ())


async def test_refuses_what_is_not_a_page(engine: Crawl, site: WebSite) -> None:
    site.pages["/image"] = Answer(b"\x89PNG", headers={"content-type": "image/png"})
    site.pages["/pdf"] = Answer(b"%PDF-1.4", headers={"content-type": "application/pdf"})
    site.pages["/file"] = Answer("text", headers={"content-disposition": "attachment"})
    site.pages["/zip"] = Answer(b"PK", headers={"content-type": "application/zip"})
    for path in ("/image", "/pdf", "/file", "/zip"):
        with pytest.raises(PageNotFetched, match="not a page that can be read"):
            await crawl(engine, site.url + path)


async def test_reads_text_and_json(engine: Crawl, site: WebSite) -> None:
    site.pages["/text"] = Answer("line 1\n\n  line 2")
    site.pages["/json"] = Answer('{"a": 1}', headers={"content-type": "application/json"})
    assert (await crawl(engine, site.url + "/text")).text == "line 1\n\n  line 2"
    assert (await crawl(engine, site.url + "/json", format="markdown")).text == '{"a": 1}'


async def test_limits_the_size(engine: Crawl, site: WebSite) -> None:
    site.pages["/script"] = Answer("x" * 2_000_000, headers={"content-type": "text/javascript"})
    page = await crawl(engine, site.html("/heavy", "<p>here</p><script src=/script></script>"), main_content=False)
    assert page.text == "here"
    assert "max_page_mb" in " ".join(page.warnings or ())
    with pytest.raises(PageNotFetched, match="larger than 1 MiB"):
        await crawl(engine, site.html("/large", "x" * 2_000_000))


async def test_says_why_a_site_cannot_be_reached(engine: Crawl) -> None:
    with web_site(OUTSIDE) as gone:
        pass
    for robots in (True, False):
        with pytest.raises(PageNotFetched, match="refused"):
            await crawl(engine, gone.url, respect_robots=robots)
        with pytest.raises(PageNotFetched, match=r"missing\.invalid"):
            await crawl(engine, "http://missing.invalid/", respect_robots=robots)


async def test_visits_share_nothing(engine: Crawl, site: WebSite) -> None:
    url = site.html("/", "<script>document.write(document.cookie || 'none'); document.cookie = 'seen=1'</script>")
    answers = [await crawl(engine, url, main_content=False) for _ in range(2)]
    assert [answer.text for answer in answers] == ["none", "none"]


async def test_starts_the_browser_again_after_a_crash(engine: Crawl, site: WebSite) -> None:
    url = site.html("/", "alive")
    assert (await crawl(engine, url, main_content=False)).text == "alive"
    browsers = [p for p in psutil.Process().children(recursive=True) if "--remote-debugging-pipe" in _arguments(p)]
    assert browsers
    for process in browsers:
        process.kill()
    await asyncio.to_thread(psutil.wait_procs, browsers, 30)
    assert (await crawl(engine, url, main_content=False)).text == "alive"


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
