"""The playground: a tab for each task, files, errors, two models, jobs, and the same request in code."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import all_tasks
from scripts.testbed.server import ROOT, RunningServer
from tests.e2e.ui.browsing import PHONE, OpenPage, expect
from tests.e2e.ui.conftest import Opener
from tests.e2e.ui.playground.conftest import EVIL, EVIL_NAME
from tests.e2e.ui.playground_page import choose_image, give, open_tab, run
from tests.support.sample_images import png

RUNNABLE = ["completions", "embeddings", "ocr", "rerank"]
"""Tasks of the fake engine whose example works as it is, at once."""


def image(name: str, width: int) -> dict[str, object]:
    return {"name": name, "mimeType": "image/png", "buffer": png(width, 20)}


def test_every_task_has_a_tab_from_its_schema(window: OpenPage) -> None:
    page = window.open("playground")
    tabs = page.get_by_role("navigation", name="Tasks").get_by_role("link")
    expect(tabs).to_have_count(len(all_tasks()))
    titles = tabs.all_inner_texts()
    for title in titles:
        page.get_by_role("link", name=title, exact=True).click()
        page.get_by_role("heading", name=title, level=2, exact=True).wait_for()
    assert {"OCR", "Point cloud", "Image generation", "Detokenize"} <= set(titles)
    page.set_viewport_size(PHONE)
    page.locator(".task-select select").select_option("ocr")
    page.get_by_role("heading", name="OCR", level=2, exact=True).wait_for()


def test_examples_of_the_forms_work_as_they_are(window: OpenPage) -> None:
    for task in RUNNABLE:
        answer = run(open_tab(window, task, "first"))
        expect(answer).to_contain_text("request ")
    window.check_part(".task-output")


def test_errors_are_shown_as_they_are(window: OpenPage) -> None:
    window.allow_failed_requests = True
    page = open_tab(window, "ocr", "first")
    page.get_by_label("Languages").fill("e" * 3000)
    page.get_by_role("button", name="Run").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("invalid_field · field languages")
    page.get_by_label("Languages").fill("")
    page.get_by_label("Remove example").click()
    page.get_by_role("button", name="Run").click()
    expect(alert).to_contain_text("Send an image as `image`")
    page.locator("input[type=file]").first.set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": b"no image"}
    )
    page.get_by_role("button", name="Run").click()
    expect(alert).to_contain_text("Send PNG, JPEG")
    page.get_by_role("button", name="Example", exact=True).click()
    page.get_by_label("Model", exact=True).select_option("broken")
    page.get_by_role("button", name="Run").click()
    expect(alert).to_contain_text("onerror=document.title")
    page.get_by_text("The whole answer").click()
    expect(page.get_by_label("JSON")).to_contain_text("model_load_failed")
    page = open_tab(window, "completions", "crashing")
    page.get_by_label("Prompt *").fill("")
    page.get_by_role("button", name="Run").click()
    expect(alert).to_contain_text("Prompt is missing.")
    page.get_by_label("Prompt *").fill("crash")
    page.get_by_role("button", name="Run").click()
    expect(alert).to_contain_text("crash")
    assert "pwned" not in page.title()


def test_two_models_answer_beside_each_other(window: OpenPage) -> None:
    page = open_tab(window, "completions", "first")
    page.get_by_role("button", name="Compare").click()
    page.get_by_label("Second model").select_option(EVIL_NAME)
    page.get_by_label("Prompt *").fill(EVIL)
    page.get_by_role("button", name="Run").click()
    for model in ("first", EVIL_NAME):
        answer = page.get_by_label(f"Answer of {model}", exact=True)
        expect(answer.locator(".answer-text")).to_contain_text("onerror=document.title")
    assert "pwned" not in page.title()
    window.check_part("main")


def test_running_request_continues_in_another_tab_and_is_stopped(window: OpenPage) -> None:
    page = open_tab(window, "completions", "slow")
    page.get_by_label("Prompt *").fill("word " * 1000)
    page.get_by_role("button", name="Run").click()
    page.get_by_role("link", name="OCR", exact=True).click()
    page.get_by_role("heading", name="OCR", level=2).wait_for()
    page.get_by_role("link", name="Completions", exact=True).click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()


def test_request_says_what_it_waits_for(window: OpenPage, gates: Path) -> None:
    page = open_tab(window, "ocr", "cool")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("Loading cool for the first time …")).to_be_visible()
    expect(page.locator(".elapsed")).to_have_text(re.compile(r"\d s"))
    (gates / "ocr").touch()
    expect(page.get_by_label("Where the time went")).to_contain_text("load")


def test_code_of_a_request_does_the_same(window: OpenPage, tmp_path: Path) -> None:
    page = open_tab(window, "ocr", "first")
    answer = run(page).locator(".answer-text").first.inner_text()
    page.get_by_text("The same request in code").click()
    (tmp_path / "image.png").write_bytes(example_image())
    curl = page.get_by_label("The request as curl").inner_text()
    assert f'"text":"{answer}"' in output_of(["bash", "-c", curl], tmp_path)
    page.get_by_role("button", name="Python", exact=True).click()
    python = page.get_by_label("The request as Python").inner_text()
    assert answer in output_of([sys.executable, "-c", python], tmp_path)
    page = open_tab(window, "chat", EVIL_NAME)
    page.get_by_label("System message").fill('it\'s $(touch pwned) `touch pwned` \\ "quoted"')
    page.get_by_text("The same request in code").click()
    curl = page.get_by_label("The request as curl").inner_text()
    assert '"content":"Hello!"' in output_of(["bash", "-c", curl], tmp_path)
    assert not (tmp_path / "pwned").exists()


def example_image() -> bytes:
    return base64.b64decode(SAMPLE_IMAGE.rpartition(",")[2])


def output_of(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def test_job_shows_its_steps(window: OpenPage) -> None:
    page = open_tab(window, "image-generation", "stepwise")
    expect(page.get_by_label("Run as a job")).to_be_checked()
    page.get_by_role("textbox", name="Steps").or_(page.get_by_role("spinbutton", name="Steps")).last.fill("150")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("Step 1 of 150")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    page.get_by_label("Model", exact=True).select_option("first")
    answer = run(page)
    expect(answer.get_by_role("button", name="Edit")).to_be_visible()


def test_images_come_by_file_drop_paste_and_camera(window: OpenPage) -> None:
    page = open_tab(window, "ocr")
    page.get_by_label("Remove example").click()
    page.locator("input[type=file]").first.set_input_files(image("a.png", 30))
    page.get_by_role("img", name="a.png").wait_for()
    give(page.locator(".drop-zone"), "drop", image(f"{EVIL_NAME}.png", 31))
    page.get_by_role("img", name=f"{EVIL_NAME}.png").wait_for()
    give(page.locator("body"), "paste", image("b.png", 32))
    page.get_by_role("img", name="b.png").wait_for()
    page.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Take a photo").click()
    page.get_by_role("img", name="camera.jpg").wait_for()
    page.get_by_role("link", name="Image edit", exact=True).click()
    page.get_by_role("img", name="camera.jpg").first.wait_for()
    give(page.locator("body"), "paste", image("c.png", 33))
    page.get_by_role("img", name="c.png").wait_for()
    expect(page.get_by_text("all of the image is redrawn")).to_be_visible()  # the mask has not got it too
    assert "pwned" not in page.title()


def test_images_of_any_shape_keep_it(window: OpenPage) -> None:
    page = open_tab(window, "segment")
    for width, height in ((30, 600), (600, 30)):
        file = {"name": f"{width}.png", "mimeType": "image/png", "buffer": png(width, height)}
        choose_image(page, file)
        page.get_by_role("button", name="Points and boxes").click()
        stage = page.locator(".task-form .stage").bounding_box()
        assert stage["width"] / stage["height"] == pytest.approx(width / height, rel=0.1)
        removal = page.get_by_label(f"Remove {width}.png").bounding_box()
        frame = page.locator(".thumbnails li", has=page.get_by_alt_text(f"{width}.png")).bounding_box()
        assert frame["x"] <= removal["x"] < removal["x"] + removal["width"] <= frame["x"] + frame["width"]
        page.get_by_label(f"Remove {width}.png").click()


def test_tabs_of_like_tasks_are_neighbours(window: OpenPage) -> None:
    tabs = window.open("playground").get_by_role("navigation", name="Tasks").get_by_role("link")
    expect(tabs).to_have_count(len(all_tasks()))
    titles = tabs.all_inner_texts()
    assert titles.index("Image variation") == titles.index("Image edit") + 1
    assert titles.index("Translation") == titles.index("Transcription") + 1


def test_answer_that_breaks_off_says_so(opener: Opener, server: RunningServer) -> None:
    window = opener()
    window.allow_failed_requests = True
    page = open_tab(window, "completions", "slow")
    page.get_by_label("Prompt *").fill("word " * 1000)
    page.get_by_text("More options").click()
    page.get_by_label("Stream", exact=True).select_option("yes")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("region", name="Answer").get_by_text("word word").wait_for()
    server.stop("gateway", signal.SIGKILL)
    expect(page.get_by_role("alert")).to_contain_text("The answer broke off")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_contain_text("Enginehouse does not answer. Is it running?")
    server.start("gateway")  # at another port, so this test is the file's last
