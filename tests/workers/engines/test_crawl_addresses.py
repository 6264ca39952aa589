"""Pages that point into a private network: whatever the trick, nothing arrives there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from contract.errors import InvalidField, PageNotFetched, ServeError
from tests.support.crawling import INSIDE, OUTSIDE, crawl, crawler, site_inside, udp_listener
from tests.support.web_site import WebSite, web_site
from workers.engines.crawl import Crawl


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


pytestmark = pytest.mark.e2e

FORMS = [
    "127.0.0.2",
    "2130706434",
    "0x7f000002",
    "0177.0.0.2",
    "127.0.2",
    "127.2",
    "[::ffff:127.0.0.2]",
    "[::ffff:7f00:2]",
    "\N{CIRCLED DIGIT ONE}\N{CIRCLED DIGIT TWO}\N{CIRCLED DIGIT SEVEN}.0.0.2",
]
"""Ways to write the address of the site inside."""


@pytest.mark.parametrize("host", [*FORMS, "[::1]", "[::]", "10.0.0.1", "169.254.169.254", "[fe80::1]", "[fd00::1]"])
async def test_refuses_private_addresses_in_all_forms(engine: Crawl, inside: WebSite, host: str) -> None:
    for robots in (True, False):
        with pytest.raises(InvalidField, match=r"not public.*allow_private") as caught:
            await crawl(engine, f"http://{host}:{inside.port}/", respect_robots=robots)
        assert caught.value.param == "url"
    assert inside.asked == []


@pytest.mark.parametrize("host", FORMS)
async def test_refuses_redirects_to_private_addresses(engine: Crawl, site: WebSite, inside: WebSite, host: str) -> None:
    with pytest.raises(InvalidField, match="not public"):
        await crawl(engine, site.redirect("/", f"http://{host}:{inside.port}/"))
    assert inside.asked == []


NAVIGATIONS = {
    "meta refresh": "<meta http-equiv=refresh content='0; url={url}'>",
    "location": "<script>location = '{url}'</script>",
    "location after load": "<script>onload = () => location.replace('{url}')</script>",
    "form": "<form action='{url}' method=post></form><script>document.forms[0].submit()</script>",
}


@pytest.mark.parametrize("trick", NAVIGATIONS)
async def test_refuses_pages_that_go_inside(engine: Crawl, site: WebSite, inside: WebSite, trick: str) -> None:
    url = site.html("/", NAVIGATIONS[trick].replace("{url}", inside.url + "/"))
    with pytest.raises(InvalidField, match="not public"):
        await crawl(engine, url)
    assert inside.asked == []


async def test_sends_nothing_by_udp(engine: Crawl, site: WebSite) -> None:
    """WebRTC and WebTransport would bypass the proxy."""
    with udp_listener() as listener:
        port = listener.getsockname()[1]
        script = f"""<script>(async () => {{
          if (window.RTCPeerConnection) {{
            const peer = new RTCPeerConnection({{iceServers: [{{urls: 'stun:{OUTSIDE}:{port}'}}]}});
            peer.createDataChannel('x'); await peer.setLocalDescription(await peer.createOffer());
            await new Promise(done => {{ peer.onicegatheringstatechange = () =>
              peer.iceGatheringState === 'complete' && done(); setTimeout(done, 3000) }});
          }}
          try {{ await new WebTransport('https://{OUTSIDE}:{port}/').ready }} catch {{ }}
          document.body.insertAdjacentHTML('beforeend', '<b id=done>done</b>');
        }})()</script>"""
        page = await crawl(engine, site.html("/", script), wait_for="#done", main_content=False)
        assert page.text == "done"
        with pytest.raises(BlockingIOError):
            listener.recv(2000)


async def test_a_name_that_changes_its_address_does_not_help(
    engine: Crawl, site: WebSite, inside: WebSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name first has an allowed address, so that its page is shown, and then that of the site inside."""
    answers: list[str] = []
    real = socket.getaddrinfo

    def changing(host: object, *args: object, **options: object) -> object:
        if host != "rebinding.example":
            return real(host, *args, **options)  # type: ignore[arg-type]
        answers.append(OUTSIDE if len(answers) < 2 else INSIDE)
        return real(answers[-1], *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    script = (
        f"fetch('http://rebinding.example:{inside.port}/', {{mode: 'no-cors'}}).then(() => 'reached', () => 'refused')"
    )
    site.html("/", f"<script>{script}.then(text => document.body.innerHTML = `<p id=done>${{text}}</p>`)</script>")
    page = await crawl(engine, f"http://rebinding.example:{site.port}/", wait_for="#done", main_content=False)
    assert page.text == "refused"
    assert INSIDE in answers
    assert inside.asked == []


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "chrome://version/",
        "view-source:http://127.0.0.1/",
        "data:text/html,x",
        "ftp://127.0.0.1/",
    ],
)
async def test_opens_only_web_pages(engine: Crawl, site: WebSite, target: str) -> None:
    with pytest.raises(PageNotFetched):
        await crawl(engine, site.redirect("/redirect", target))
    url = site.html("/", f"here<script>location = '{target}'</script>")
    page = await crawl(engine, url, main_content=False, timeout=60)
    assert page.text == "here"


async def test_refuses_a_page_that_is_frozen_on_its_way_inside(engine: Crawl, site: WebSite, inside: WebSite) -> None:
    url = site.html("/", f"<script>location = '{inside.url}/'; while (true) {{}}</script>")
    with pytest.raises(ServeError):
        await crawl(engine, url, timeout=3)
    await asyncio.sleep(0)
    assert inside.asked == []
