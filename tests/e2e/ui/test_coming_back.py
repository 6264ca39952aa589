"""Every live view after a lost network, a sleep of the computer and a restart: it shows what is true then."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.testbed.server import RunningServer, eventually, fake_model
from tests.e2e.ui.browsing import expect
from tests.e2e.ui.conftest import Opener
from tests.support.sockets import lasting_port

VIEWS = ("now", "models?configured=yes", "jobs", "requests", "logs/m", "keys")
LOST = "Trying again"
HALF_AN_HOUR = 1_800_000  # milliseconds


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder, gateway = tmp_path_factory.mktemp("coming-back"), {"port": lasting_port()}
    with RunningServer(folder, [fake_model("m", memory_gb=0.1)], gateway=gateway) as server:
        server.chat("m").raise_for_status()
        yield server


@pytest.fixture
def pages(opener: Opener) -> dict[str, Any]:
    """Every live view in a window of its own, with a clock that can be moved."""
    pages = {}
    for view in VIEWS:
        window = opener()
        window.allow_failed_requests = True
        window.page.clock.install()
        pages[view.partition("?")[0].partition("/")[0]] = window.open(view)
    expect(row_of(pages["now"], "m")).to_contain_text("ready")
    expect(pages["requests"].get_by_role("status").first).to_contain_text("live")
    expect(pages["logs"].get_by_role("status").first).to_contain_text("live")
    return pages


def row_of(page: Any, model: str) -> Any:
    return page.get_by_role("listitem").filter(has=page.get_by_role("button", name=model, exact=True))


def write_to_log(server: RunningServer, line: str) -> None:
    with (server.home / "logs" / "m.log").open("a") as log:
        log.write(f"{line}\n")


def expect_lost(pages: dict[str, Any]) -> None:
    """Wait until the views that follow a stream say that they have lost it."""
    for view in ("now", "models"):
        expect(pages[view].get_by_role("status").filter(has_text=LOST)).to_be_visible()
    expect(pages["requests"].get_by_role("status").first).to_contain_text("connecting")
    expect(pages["logs"].get_by_role("status").first).not_to_contain_text("live")


def expect_truth(pages: dict[str, Any], server: RunningServer, what: str) -> None:
    """Wait until each view shows a state, a job, a request and a log line that are new since the connection ended."""
    job = server.post("/jobs/submit/chat", {"model": "m", "messages": [{"role": "user", "content": what}]}).json()
    id_ = server.chat("no-such-model").headers["x-request-id"]
    for view in ("now", "models"):
        expect(row_of(pages[view], "m")).to_contain_text("ready")
        expect(pages[view].get_by_role("status").filter(has_text=LOST)).to_have_count(0)
    expect(pages["jobs"].get_by_role("listitem").filter(has_text=job["job_id"])).to_contain_text("completed")
    pages["requests"].get_by_label("Search").fill(id_)
    expect(pages["requests"].get_by_role("listitem")).to_contain_text("model_not_found")
    pages["requests"].get_by_label("Search").fill("")
    expect(pages["logs"].get_by_role("listitem").filter(has_text=f"written {what}")).to_have_count(1)


def test_every_live_view_comes_back_and_shows_the_truth(pages: dict[str, Any], server: RunningServer) -> None:
    for page in pages.values():
        page.context.set_offline(True)
    expect_lost(pages)
    server.post("/v1/system/evict/m").raise_for_status()
    write_to_log(server, "written offline")
    for page in pages.values():
        page.context.set_offline(False)
    expect(row_of(pages["now"], "m")).to_contain_text(re.compile("stopped|evict"))
    expect_truth(pages, server, "offline")
    # A computer that sleeps: the connections are silent when it wakes, and its clock has moved.
    server.processes["gateway"].send_signal(signal.SIGSTOP)
    write_to_log(server, "written asleep")
    for page in pages.values():
        page.clock.fast_forward(HALF_AN_HOUR)
    expect_lost(pages)
    server.processes["gateway"].send_signal(signal.SIGCONT)
    expect_truth(pages, server, "asleep")
    restart(server, pages)
    expect_truth(pages, server, "restarted")
    events = pages["now"].get_by_role("region", name="Events", exact=True).last
    expect(events).to_contain_text("m#1 starting → ready")


def restart(server: RunningServer, pages: dict[str, Any]) -> None:
    """Restart the whole server on the same port, once the views have noticed that it is gone."""
    server.stop("gateway")
    server.stop("manager")
    expect_lost(pages)
    write_to_log(server, "written restarted")
    server.start("manager")
    server.start("gateway")
    eventually("the server is ready", lambda: server.get("/ready").status_code == 200)
    expect(pages["requests"].get_by_role("status").first).to_contain_text("0 requests")


def test_a_return_to_the_view_repeats_no_events(opener: Opener, server: RunningServer) -> None:
    page = opener().open("now")
    count = page.get_by_text(re.compile(r"^\d+ events?$"))
    last = page.get_by_role("region", name="Events", exact=True).last.get_by_role("listitem").last
    server.post("/models/pin", {"model": "m"})
    expect(last).to_contain_text("pin")
    before = count.inner_text()
    page.get_by_role("link", name="Jobs").click()
    page.get_by_role("heading", name="Jobs").wait_for()
    page.get_by_role("link", name="Now").click()
    expect(count).to_have_text(before)
    server.post("/models/unpin", {"model": "m"})
    expect(last).to_contain_text("unpin")
    expect(count).to_have_text(f"{int(before.split()[0]) + 1} events")
