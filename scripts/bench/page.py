"""The page with 1,000 models, 10,000 events and a log of 100 MB: its first paint, and its frames while it is used."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from scripts.bench.measurement import Goal, Result, Setup
from scripts.testbed.server import RunningServer, fake_model
from workers.engines.crawl import chromium

MODELS, EVENTS, LOG_BYTES = 1000, 10_000, 100_000_000
LONGEST = 100.0
"""Milliseconds that a frame may take."""
FIRST_PAINT = 1000.0
"""Milliseconds from the start of a navigation to the first text on a slow laptop."""
SLOWDOWN = 4
"""How many times slower than this machine that laptop is."""
CHANGES = 6.0
"""Events a second, each with a change of a model in the status."""
_TEXT = f"""
A server with {MODELS:,} models; the page is given {EVENTS:,} events, and {CHANGES:g} more a second, each with a change
of a model's status. The log has {LOG_BYTES // 10**6} MB, and 50 lines a second are added to it. In each view, every
list is scrolled by 60 pixels in each frame, and the filters are typed and cleared. A frame's time is that from one call
of requestAnimationFrame to the next. The work of a task is the processor's time for the longest task of the page's main
thread in Chromium's trace: unlike frames, it does not depend on what else the machine does. The first paint is that of
the view Now with an empty cache, as Chromium reports it, with a processor that DevTools slows down {SLOWDOWN} times.
"""
_TRACED = ["-*", "toplevel", "disabled-by-default-devtools.timeline", "devtools.timeline", "__metadata"]

_WATCH = """() => {
  const frames = [];
  const lists = () => [...document.querySelectorAll(".windowed-list")];
  const ways = new Map();
  let last = performance.now();
  let running = true;
  const turn = (now) => {
    frames.push(now - last);
    last = now;
    for (const list of lists()) {
      const end = list.scrollTop + list.clientHeight >= list.scrollHeight - 1;
      if (end || list.scrollTop <= 0) ways.set(list, end ? -1 : 1);
      list.scrollTop += 60 * (ways.get(list) ?? 1);
    }
    if (running) requestAnimationFrame(turn);
  };
  requestAnimationFrame(turn);
  window.stopWatching = () => ((running = false), frames);
}"""


_CHANGE = """async ([count, changes]) => {
  const app = [...document.scripts].find((script) => script.src.endsWith("/app.js"));
  const live = await import(new URL("lib/live.js", app.src));
  const event = (n) => ({ seq: n, key: `made-${n}`, time: Date.now() / 1000, type: "state", model: `model-${n % 1000}`,
    worker: `model-${n % 1000}#1`, from: "starting", to: "ready", reason: "after 2.1 s" });
  let number = count;
  live.events.set(Array.from({ length: count }, (_, n) => event(n)));
  setInterval(() => {
    const current = live.status.get();
    const next = event(number++);
    if (current) {
      const changed = current.models.find(({ id }) => id === next.model);
      live.status.set(live.merged(current, { models: [{ ...changed, pinned: !changed.pinned }] }));
    }
    live.events.update((events) => [...events, next].slice(-count));
    live.reasons.update((reasons) => new Map(reasons).set(next.model, next));
  }, 1000 / changes);
}"""

_PAINTED = """() => new Promise((resolve) => {
  const observer = new PerformanceObserver((entries) => {
    const paint = entries.getEntries().find(({ name }) => name === "first-contentful-paint");
    if (paint) resolve(paint.startTime);
  });
  observer.observe({ type: "paint", buffered: true });
})"""


@dataclass(frozen=True)
class Fluency:
    """What one view took, in milliseconds: each frame, and the processor's time of the longest task."""

    frames: list[float]
    longest_task: float


def measure(setup: Setup) -> Result:
    """Frames of the views with long lists."""
    if importlib.util.find_spec("playwright") is None:
        goals = [Goal("the longest frame", LONGEST, None, " ms", why="Playwright is not installed")]
        return Result("The page at its largest", _TEXT, goals)
    from playwright.sync_api import sync_playwright

    models = [fake_model(f"model-{number}", memory_gb=0.01) for number in range(MODELS)]
    measured: dict[str, Fluency] = {}
    with RunningServer(setup.folder / "page", models) as server, sync_playwright() as playwright:
        program = chromium.find(None, playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=os.geteuid() != 0)
        paint = statistics.median(_first_paint(browser, server) for _ in range(setup.rounds(7)))
        _write_log(server, LOG_BYTES // (20 if setup.quick else 1))
        with _opened(browser, server, "now", "Find a model") as page:
            measured["Now"] = _use(browser, page, setup, ["Find a model", "Find events"], "model-77")
        for view, field, text in (("models", "Find", "model-77"), ("logs/model-0", "Search", "line 77")):
            with _opened(browser, server, view, field) as page, _lines(server):
                measured[view.partition("/")[0].capitalize()] = _use(browser, page, setup, [field], text)
        browser.close()
    return _result(measured, paint)


def _result(measured: dict[str, Fluency], paint: float) -> Result:
    rows, goals = [], [Goal(f"the first paint, {SLOWDOWN} times slowed down", FIRST_PAINT, paint, " ms")]
    for view, fluency in measured.items():
        longest, usual = max(fluency.frames), statistics.median(fluency.frames)
        late = statistics.quantiles(fluency.frames, n=100)[-1]
        values = (usual, late, longest, fluency.longest_task)
        rows.append((view, str(len(fluency.frames)), *(f"{value:.0f} ms" for value in values)))
        goals.append(Goal(f"the longest frame of the view {view}", LONGEST, longest, " ms"))
        goals.append(Goal(f"the work of the longest task of the view {view}", LONGEST, fluency.longest_task, " ms"))
    columns = ("view", "frames", "median", "99 of 100", "longest", "longest task's work")
    return Result("The page at its largest", _TEXT, goals, columns, rows)


def _first_paint(browser: Any, server: RunningServer) -> float:
    """Milliseconds until the page shows something, to a browser that has never seen it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
    page.goto(f"{server.url}/ui#/now")
    milliseconds: float = page.evaluate(_PAINTED)
    context.close()
    return milliseconds


@contextmanager
def _opened(browser: Any, server: RunningServer, view: str, field: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{server.url}/ui#/{view}")
    page.get_by_label(field, exact=True).first.wait_for()
    page.locator(".windowed-row").first.wait_for()
    yield page
    page.close()


def _use(browser: Any, page: Any, setup: Setup, fields: list[str], text: str) -> Fluency:
    """Scroll all lists, and type into each filter, as long as a thorough measurement takes."""
    browser.start_tracing(page=page, categories=_TRACED)
    page.evaluate(_CHANGE, [EVENTS, CHANGES])
    page.evaluate(_WATCH)
    end = time.monotonic() + setup.seconds(15)
    for field in cycle(fields):
        page.get_by_label(field, exact=True).press_sequentially(text, delay=100)
        page.wait_for_timeout(700)
        page.get_by_label(field, exact=True).fill("")
        page.wait_for_timeout(700)
        if time.monotonic() > end:
            break
    frames = page.evaluate("window.stopWatching()")
    return Fluency(frames, _longest_task(json.loads(browser.stop_tracing())["traceEvents"]))


def _longest_task(events: list[dict[str, Any]]) -> float:
    """Milliseconds of the processor for the longest task of the main threads of pages."""
    named = [event for event in events if event["name"] == "thread_name"]
    main = {(event["pid"], event["tid"]) for event in named if event["args"]["name"] == "CrRendererMain"}
    tasks = [event for event in events if event["name"] == "RunTask" and (event["pid"], event["tid"]) in main]
    return max(float(event.get("tdur", event.get("dur", 0))) for event in tasks) / 1000


@contextmanager
def _lines(server: RunningServer) -> Iterator[None]:
    """Lines of the log, until the end of the block."""
    ended = threading.Event()

    def write() -> None:
        with (server.home / "logs" / "model-0.log").open("a", buffering=1) as file:
            while not ended.wait(0.02):
                file.write(f"line {time.time()} {'new ' * 20}\n")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _write_log(server: RunningServer, size: int) -> None:
    folder = server.home / "logs"
    folder.mkdir(exist_ok=True)
    lines = "".join(f"INFO line {number} {'words ' * 14}\n" for number in range(10_000))
    with (folder / "model-0.log").open("w") as file:
        for _ in range(size // len(lines) + 1):
            file.write(lines)
