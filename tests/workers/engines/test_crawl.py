"""Crawling a site on this machine with a real browser; test_crawl_pages.py and test_crawl_addresses.py have more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.errors import InvalidField, PageNotFetched, RobotsDisallow
from tests.support.crawling import INSIDE, OUTSIDE, ask, crawl, crawler, site_inside
from tests.support.web_site import Answer, WebSite, web_site
from workers.engines.crawl import Crawl

SENTENCE = "Workers start on demand, and end when they are idle. "


@pytest.fixture(scope="module")
def engine() -> Iterator[Crawl]:
    with crawler() as engine:
        yield engine


@pytest.fixture
def site() -> Iterator[WebSite]:
    with web_site(OUTSIDE) as site:
        yield site


@pytest.fixture
def inside() -> Iterator[WebSite]:
    with site_inside() as inside:
        yield inside


async def test_reads_what_scripts_write(engine: Crawl, site: WebSite) -> None:
    site.pages["/data"] = Answer(SENTENCE * 9)
    url = site.html(
        "/app",
        "<article id=a>static</article>",
        "<title>Loading</title><script>addEventListener('load', () => setTimeout(async () => {"
        "const text = await (await fetch('/data')).text(); document.title = 'Loaded';"
        "document.getElementById('a').innerHTML = '<h1>News</h1><p>' + text + '</p>' }, 100))</script>",
    )
    page = await crawl(engine, url)
    assert (page.title, page.url, page.status, page.model) == ("Loaded", url, 200, "crawl")
    assert SENTENCE.strip() in page.text
    assert page.warnings is None
    assert page.fetch_time_ms > 0
    static = await crawl(engine, url, wait_for_js=False, main_content=False)
    assert (static.title, static.text) == ("Loading", "static")
    assert any("Enginehouse/" in agent and "Headless" not in agent for agent in site.agents)


async def test_obeys_robots_unless_told_otherwise(engine: Crawl, site: WebSite) -> None:
    site.pages["/robots.txt"] = Answer("User-agent: enginehouse\nDisallow: /secret")
    secret = site.html("/secret", "private")
    for url in (secret, site.redirect("/way", "/secret")):
        with pytest.raises(RobotsDisallow, match="respect_robots: false"):
            await crawl(engine, url)
    assert (await crawl(engine, secret, respect_robots=False, main_content=False)).text == "private"


@pytest.mark.parametrize("way", ["redirect", "script"])
async def test_robots_hold_for_each_step_of_the_way(engine: Crawl, site: WebSite, way: str) -> None:
    site.pages["/robots.txt"] = Answer("User-agent: enginehouse\nDisallow: /private")
    site.html("/end", "public")
    site.redirect("/private/step", "/end")
    if way == "redirect":
        start = site.redirect("/start", "/private/step")
    else:
        start = site.html("/start", "<script>location = '/private/step'</script>")
    with pytest.raises(RobotsDisallow, match="/private/step"):
        await crawl(engine, start)
    assert "/private/step" not in site.asked
    assert (await crawl(engine, start, respect_robots=False, main_content=False)).text == "public"


PARTS = """
<img src='{url}/image'><iframe src='{url}/frame'></iframe><script src='{url}/script'></script>
<link rel=stylesheet href='{url}/style'><link rel=prefetch href='{url}/prefetch'><link rel=preconnect href='{url}'>
<link rel=preload as=fetch href='{url}/preload'><link rel=modulepreload href='{url}/module'>
<link rel=icon href='{url}/icon'>
<link rel=dns-prefetch href='{url}'><link rel=manifest href='{url}/manifest'><object data='{url}/object'></object>
<embed src='{url}/embed'><video src='{url}/video' preload=auto></video><audio src='{url}/audio' preload=auto></audio>
<svg><image href='{url}/svg'></image></svg><a ping='{url}/ping' href='#' id=ping>p</a>
<style>@font-face {{font-family: x; src: url({url}/font)}} p {{font-family: x; background: url({url}/background)}}
</style><p>text</p>
<script type=speculationrules>{{"prefetch": [{{"source": "list", "urls": ["{url}/speculation"]}}],
  "prerender": [{{"source": "list", "urls": ["{url}/prerender"]}}]}}</script>
<script>
const quiet = promise => promise.then(() => 'reached', error => 'refused');
const socket = url => new Promise((yes, no) => {{ const s = new WebSocket(url); s.onopen = yes; s.onerror = no }});
const xhr = url => new Promise((yes, no) => {{
  const x = new XMLHttpRequest(); x.open('GET', url); x.onload = yes; x.onerror = no; x.send() }});
const events = url => new Promise((yes, no) => {{
  const e = new EventSource(url); e.onopen = yes; e.onerror = () => {{ e.close(); no() }} }});
const worker = code => new Worker(URL.createObjectURL(new Blob([code])));
(async () => {{
  navigator.sendBeacon('{url}/beacon', 'x'); document.getElementById('ping').click(); open('{url}/popup');
  worker(`fetch('{url}/worker', {{mode: 'no-cors'}})`);
  const results = await Promise.all([
    quiet(fetch('{url}/fetch', {{mode: 'no-cors'}})), quiet(xhr('{url}/xhr')), quiet(events('{url}/events')),
    quiet(socket('{ws}/socket')), quiet(fetch('file:///etc/passwd'))]);
  document.body.insertAdjacentHTML('beforeend', '<b id=done>' + results.join() + '</b>');
}})();
</script>"""


async def test_refuses_whatever_a_page_loads_from_inside(engine: Crawl, site: WebSite, inside: WebSite) -> None:
    parts = PARTS.format(url=inside.url, ws=inside.url.replace("http", "ws"))
    page = await crawl(engine, site.html("/", parts), wait_for="#done", main_content=False)
    assert "refused,refused,refused,refused,refused" in page.text
    assert INSIDE in " ".join(page.warnings or ())
    assert inside.asked == []


async def test_refuses_a_redirect_inside(engine: Crawl, site: WebSite, inside: WebSite) -> None:
    with pytest.raises(InvalidField, match="not public"):
        await crawl(engine, site.redirect("/", f"http://2130706434:{inside.port}/"))
    assert inside.asked == []


async def test_a_slow_page_delays_no_other(engine: Crawl, site: WebSite) -> None:
    slow = site.html("/slow", "")
    fast = site.html("/fast", "fast")
    first, second, bad = await ask(
        engine,
        {"url": slow, "wait_for": ".never", "timeout": 4},
        {"url": fast, "main_content": False},
        {"url": "http://10.0.0.1/"},
    )
    assert isinstance(first, PageNotFetched)
    assert second.text == "fast"
    assert isinstance(bad, InvalidField)


def test_reports_its_sandbox(engine: Crawl) -> None:
    sandbox = engine.facts().sandbox or ""
    assert sandbox == "yes" or "sandbox: false" in sandbox
