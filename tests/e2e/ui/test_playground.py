"""The playground: a tab for each task from its schema, and the same request in code."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import all_tasks
from scripts.testbed.server import ROOT, RunningServer, fake_model
from tests.e2e.ui.browsing import expect
from tests.e2e.ui.conftest import Opener
from tests.support.sample_images import png

EVIL = "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>\x1b[31m"
RUNNABLE = ["completions", "embeddings", "ocr", "rerank"]
"""Tasks of the fake engine whose example works as it is, at once."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    models = [
        fake_model("first"),
        fake_model("second"),
        fake_model("slow", gate=str(tmp_path_factory.mktemp("gate") / "open")),
    ]
    with RunningServer(tmp_path_factory.mktemp("playground"), models) as server:
        for model in ("first", "second", "slow"):
            server.post("/models/load", {"model_id": model})
        yield server


def test_every_task_has_a_tab_from_its_schema(opener: Opener) -> None:
    page = opener().open("playground")
    tabs = page.get_by_role("navigation", name="Tasks").get_by_role("link")
    expect(tabs).to_have_count(len(all_tasks()))
    titles = tabs.all_inner_texts()
    for title in titles:
        page.get_by_role("link", name=title, exact=True).click()
        page.get_by_role("heading", name=title, level=2, exact=True).wait_for()
    assert {"OCR", "Point cloud", "Image generation", "Detokenize"} <= set(titles)


@pytest.mark.parametrize("task", RUNNABLE)
def test_example_of_the_form_works_as_it_is(opener: Opener, task: str) -> None:
    page = opener().open(f"playground/{task}")
    page.get_by_label("Model", exact=True).select_option("first")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_label("Where the time went")).to_contain_text("total")
    expect(page.get_by_role("region", name="Answer")).to_contain_text("request ")


def test_errors_are_shown_as_they_are(opener: Opener) -> None:
    window = opener()
    window.allow_failed_requests = True
    page = window.open("playground/ocr")
    page.get_by_label("Model", exact=True).select_option("first")
    page.get_by_label("Languages").fill("e" * 3000)
    page.get_by_role("button", name="Run").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("invalid_field · field languages")
    page.get_by_label("Languages").fill("")
    page.get_by_label("Remove example").click()
    page.get_by_role("button", name="Run").click()
    expect(alert).to_contain_text("Send an image as `image`")


def test_two_models_answer_beside_each_other(opener: Opener) -> None:
    page = opener().open("playground/completions")
    page.get_by_label("Model", exact=True).select_option("first")
    page.get_by_role("button", name="Compare").click()
    page.get_by_label("Beside it").select_option("second")
    page.get_by_label("Prompt *").fill(EVIL)
    page.get_by_role("button", name="Run").click()
    for model in ("first", "second"):
        answer = page.get_by_role("region", name=f"Answer of {model}")
        expect(answer.locator(".answer-text")).to_contain_text("onerror=document.title")
    assert "pwned" not in page.title()


def test_running_request_can_be_stopped(opener: Opener) -> None:
    page = opener().open("playground/completions")
    page.get_by_label("Model", exact=True).select_option("slow")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()


def test_code_of_a_request_does_the_same(opener: Opener, server: RunningServer, tmp_path: Path) -> None:
    page = opener().open("playground/ocr")
    page.get_by_label("Model", exact=True).select_option("first")
    page.get_by_role("button", name="Run").click()
    answer = page.get_by_role("region", name="Answer").locator(".answer-text").first.inner_text()
    page.get_by_text("The same request in code").click()
    (tmp_path / "picture.png").write_bytes(example_picture())
    curl = page.get_by_label("The request as curl").inner_text()
    assert f'"text":"{answer}"' in run(["bash", "-c", curl], tmp_path)
    page.get_by_role("button", name="Python", exact=True).click()
    python = page.get_by_label("The request as Python").inner_text()
    assert answer in run([sys.executable, "-c", python], tmp_path)


def example_picture() -> bytes:
    return base64.b64decode(SAMPLE_IMAGE.rpartition(",")[2])


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def test_job_shows_its_steps(opener: Opener) -> None:
    page = opener().open("playground/image-generation")
    page.get_by_label("Model", exact=True).select_option("first")
    expect(page.get_by_label("As a job")).to_be_checked()
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_label("Where the time went")).to_contain_text("total")


def test_pictures_come_by_file_and_paste(opener: Opener) -> None:
    page = opener().open("playground/ocr")
    page.get_by_label("Remove example").click()
    page.get_by_label("Image", exact=True).set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": png(30, 20)}
    )
    page.get_by_role("img", name="a.png").wait_for()
    page.evaluate(
        """(bytes) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], 'b.png', {type: 'image/png'}));
        document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: transfer, bubbles: true}));
    }""",
        list(png(31, 20)),
    )
    page.get_by_role("img", name="b.png").wait_for()
    page.get_by_role("link", name="Detect", exact=True).click()
    page.get_by_role("img", name="b.png").wait_for()


def test_playground_is_accessible(opener: Opener) -> None:
    window = opener()
    page = window.open("playground/ocr")
    page.get_by_role("button", name="Run").click()
    page.get_by_label("Where the time went").wait_for()
    window.check_accessible()
