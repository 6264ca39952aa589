"""The view Now of a running server: memory, models, the queue, events and charts, live."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.testbed.server import RunningServer, eventually, fake_model, in_background
from tests.e2e.ui.browsing import expect
from tests.e2e.ui.conftest import Opener

HOSTILE = "<img src=x onerror=alert(1)>\n<script>alert(2)</script>\n\n<svg onload=alert(3)>\x1b[31mred\x1b[0m"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("now")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    models = [
        fake_model("quick", memory_mb=60, memory_gb=0.1),
        fake_model("gated", gate=str(folder / "gate"), memory_gb=0.1),
        fake_model("late", load_gate=str(folder / "load gate"), memory_gb=0.1),
        fake_model("hostile", fail_at_load=HOSTILE, memory_gb=0.1),
        fake_model("huge", memory_gb=90_000),
    ]
    with RunningServer(folder / "server", models) as server:
        server.chat("quick")
        yield server


def row_of(page: Any, model: str) -> Any:
    return page.get_by_role("listitem").filter(has=page.get_by_role("button", name=model, exact=True))


def test_shows_memory_and_what_each_model_does(opener: Opener, server: RunningServer) -> None:
    window = opener()
    page = window.open("now")
    memory = page.get_by_role("region", name="Memory", exact=True)
    expect(memory.get_by_role("img")).to_have_accessible_name(
        re.compile("quick#1 .* MiB, Other programs .*, Free .*, Margin")
    )
    quick = row_of(page, "quick")
    expect(quick).to_contain_text("ready")
    expect(quick).to_contain_text(re.compile(r"goes in \d+ min"))
    expect(quick).to_contain_text(re.compile(r"quick#1 starting → ready .* \(after [\d.]+ s\)"))
    expect(row_of(page, "huge")).to_contain_text("can never fit here")
    for chart in ("Memory used on cpu", "Requests a minute", "Tokens and images a second"):
        expect(page.get_by_role("img", name=re.compile(f"^{chart}"))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^process .*, load .*, measure"))).to_be_visible()
    window.check_accessible()


def work_until(row: Any, speed: str, work: Callable[[], httpx2.Response]) -> None:
    """Work again and again until the speed is shown: it is that of the last ten seconds."""

    def is_shown() -> bool:
        work().raise_for_status()
        return bool(re.search(speed, row.inner_text()))

    eventually(f"{speed} is shown", is_shown)


def test_work_of_each_model_is_measured_and_charted(opener: Opener, server: RunningServer) -> None:
    page = opener().open("now")
    quick = row_of(page, "quick")
    drawing = {"model": "quick", "prompt": "a boat", "n": 2}
    work_until(quick, r"[\d,]*[1-9.][\d.]* tokens/s", lambda: server.chat("quick", "word " * 200))
    work_until(quick, r"[\d.]*[1-9] images/s", lambda: server.post("/v1/images/generations", drawing))
    expect(page.get_by_role("img", name=re.compile("^Memory used on cpu: used [1-9]"))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^Tokens and images a second: tokens"))).to_be_visible()
    page.get_by_role("button", name="quick", exact=True).click()
    expect(page.get_by_role("dialog", name="quick")).to_contain_text(re.compile(r"Memory.*measured"))
    models = opener().open("models?configured=yes")
    expect(row_of(models, "quick")).to_contain_text("of memory, measured")


def test_loads_pins_keeps_and_evicts(opener: Opener, server: RunningServer) -> None:
    page = opener().open("now")
    quick = row_of(page, "quick")
    page.get_by_role("button", name="Pin quick").click()
    expect(quick).to_contain_text("pinned")
    page.get_by_role("button", name="Pin quick").click()
    expect(quick).not_to_contain_text("pinned")
    page.get_by_role("button", name="Evict quick").click()
    expect(quick).to_contain_text("stopped")
    page.get_by_role("button", name="Keep quick for a while").click()
    page.get_by_label("Keep for").select_option("8 hours")
    page.get_by_role("dialog").get_by_role("button", name="Keep", exact=True).click()
    expect(quick).to_contain_text(re.compile(r"goes in (8 h|7 h 59 min)"))
    page.get_by_role("button", name="Evict quick").click()
    page.get_by_role("button", name="Load quick").click()
    expect(quick).to_contain_text(re.compile(r"goes in \d+ min"))


def test_queue_shows_what_each_request_waits_for(opener: Opener, server: RunningServer, folder: Path) -> None:
    page = opener().open("now")
    queue = page.get_by_role("region", name="Queue", exact=True)
    expect(queue).to_contain_text("No request waits.")
    requests = [in_background(server.chat, "late", f"number {n}") for n in range(2)]
    waiting = queue.get_by_role("listitem")
    expect(waiting).to_have_text([re.compile(f"^{place}late.*loading late") for place in (1, 2)])
    expect(row_of(page, "late")).to_contain_text("2 waiting")
    (folder / "load gate").touch()
    assert [request.result().status_code for request in requests] == [200, 200]
    expect(queue).to_contain_text("No request waits.")


def test_eviction_of_a_busy_model_asks_first(opener: Opener, server: RunningServer, folder: Path) -> None:
    page = opener().open("now")
    requests = [in_background(server.chat, "gated", f"number {n}") for n in range(2)]
    expect(row_of(page, "gated")).to_contain_text("2 at work")
    page.get_by_role("button", name="Evict gated").click()
    expect(page.get_by_role("dialog")).to_contain_text("2 requests at work")
    page.get_by_role("button", name="Cancel").click()
    (folder / "gate").touch()
    assert [request.result().status_code for request in requests] == [200, 200]
    expect(row_of(page, "gated")).not_to_contain_text("at work")


def test_details_explain_a_model(opener: Opener, server: RunningServer) -> None:
    page = opener().open("now")
    page.get_by_role("button", name="quick", exact=True).click()
    details = page.get_by_role("dialog", name="quick")
    expect(details.get_by_role("table")).to_contain_text("quick#")
    expect(details.get_by_role("list")).to_contain_text("stopped → starting")
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)


def test_text_of_a_failing_model_is_only_text(opener: Opener, server: RunningServer) -> None:
    window = opener()
    page = window.open("now")
    page.on("dialog", lambda dialog: window.messages.append(f"ran: {dialog.message}"))
    assert server.chat("hostile").status_code >= 400
    expect(row_of(page, "hostile")).to_contain_text("<script>alert(2)</script>")
    expect(page.get_by_role("region", name="Events").first).to_contain_text("<svg onload=alert(3)>")
    page.get_by_role("button", name="hostile", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("onerror=alert(1)")
    assert page.locator("main img, main script, main svg[onload]").count() == 0


MANY = """async () => {
  const app = [...document.scripts].find((script) => script.src.endsWith("/app.js"));
  const live = await import(new URL("lib/live.js", app.src));
  const [model] = live.status.get().models;
  const models = Array.from({ length: 1000 }, (_, n) => ({ ...model, id: `many-${n}`, state: "stopped", waiting: 0 }));
  live.status.set({ ...live.status.get(), models });
  const event = (n) => ({ seq: n, key: `many ${n}`, time: n, type: "state", worker: `w-${n}` });
  live.events.set(Array.from({ length: 10000 }, (_, n) => event(n)));
}"""


def test_long_lists_render_only_what_is_in_sight(opener: Opener, server: RunningServer) -> None:
    page = opener().open("now")
    expect(row_of(page, "quick")).to_be_visible()
    page.evaluate(MANY)
    expect(page.get_by_text("10,000 events")).to_be_visible()
    expect(row_of(page, "many-0")).to_be_visible()
    assert page.get_by_role("listitem").count() < 80
    page.get_by_label("Find events").fill("w-9876")
    expect(page.get_by_text("1 event", exact=True)).to_be_visible()
    page.get_by_label("Find a model").fill("many-777")
    expect(page.get_by_role("button", name="many-777", exact=True)).to_be_visible()
