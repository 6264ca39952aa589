"""What the page's playground draws, with real models: boxes, masks, depth, points, features, and drawn images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scripts.testbed.server import RunningServer, eventually
from tests.e2e.ui.browsing import DESKTOP, PHONE, OpenPage, expect
from tests.e2e.ui.conftest import browser_fixture, shared_window, window_fixture  # noqa: F401 - fixtures
from tests.e2e.ui.playground.test_haste import SLOW_FILES
from tests.e2e.ui.playground_page import choose_image, decoded, drag, open_tab, run

WIDTH, HEIGHT = 160, 120
CENTRE = "(element) => element.scrollIntoView({block: 'center'})"
MARGIN = """(label) => (label.previousElementSibling.getBBox().width - label.getBBox().width)
    / label.getBBox().height"""
"""By how much the background of a label is wider than it is, in heights of its letters."""
GREEN = 107
"""Of every pixel of the image; red grows to the right, blue downwards."""


def gradient() -> bytes:
    rows, columns = np.indices((HEIGHT, WIDTH))
    file = io.BytesIO()
    Image.fromarray(np.stack([columns, rows * 0 + GREEN, rows], -1).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


IMAGE = {"name": "a.png", "mimeType": "image/png", "buffer": gradient()}


def open_with_image(window: OpenPage, task: str, model: str) -> Any:
    page = open_tab(window, task, model)
    choose_image(page, IMAGE)
    return page


def colours(page: Any) -> list[int]:
    """The pixels of the canvas over the image of an answer, as red, green, blue and opacity."""
    script = """(canvas) => {
        const context = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
        context.drawImage(canvas, 0, 0);
        return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
    }"""
    values: list[int] = page.locator(".task-output canvas.stage-layer").evaluate(script)
    return values


def greens(screenshot: bytes) -> int:
    """How many colours are as green as the image."""
    shown = np.unique(np.asarray(Image.open(io.BytesIO(screenshot)).convert("RGB")).reshape(-1, 3), axis=0)
    return int((np.abs(shown[:, 1].astype(int) - GREEN) < 3).sum())


def ground(screenshot: bytes) -> int:
    """How light a corner is, of 255."""
    return int(np.asarray(Image.open(io.BytesIO(screenshot)).convert("L"))[8, 8])


def settled(canvas: Any) -> bytes:
    """What a canvas shows once it has been drawn: without a graphics card, that takes a moment."""
    shown: list[bytes] = [canvas.screenshot()]
    eventually("two looks are equal", lambda: shown.append(canvas.screenshot()) or shown[-1] == shown[-2])
    return shown[-1]


def test_boxes_are_hidden_by_score_without_a_request(window: OpenPage) -> None:
    page = open_with_image(window, "detect", "grounding-dino")
    page.get_by_role("textbox", name="Prompt").fill("a cat\na dog")
    page.get_by_role("spinbutton", name="Box threshold, as a number").fill("0")
    answer = run(page)
    rows = answer.get_by_label("What was found").get_by_role("listitem")
    rows.first.wait_for()
    total = rows.count()
    expect(answer.locator(".box-label")).to_have_count(total)
    assert 0 < answer.locator(".box-label").first.evaluate(MARGIN) < 1, "a background is as wide as its label"
    page.set_viewport_size(PHONE)
    fits = "(label) => label.scrollWidth <= label.clientWidth"
    eventually("a label fits", lambda: rows.first.locator(".cut").evaluate(fits))
    page.set_viewport_size(DESKTOP)
    window.addresses.clear()
    answer.get_by_label("Score of at least").press("End")
    expect(answer.locator(".box-label")).not_to_have_count(total)
    assert not [address for address in window.addresses if "/v1/vision/" in address]
    window.check_part(".task-output")
    page.get_by_role("spinbutton", name="Box threshold, as a number").fill("1")
    answer = run(page)
    expect(answer.get_by_text("The model found nothing.")).to_be_visible()
    expect(answer.get_by_text("this high")).to_have_count(0)


def test_masks_answer_points_and_boxes_that_are_drawn(window: OpenPage) -> None:
    page = open_with_image(window, "segment", "sam2")
    page.get_by_role("button", name="Points and boxes").click()
    stage = page.locator(".task-form .stage")
    stage.evaluate(CENTRE)
    stage.click(position={"x": 40, "y": 30})
    page.get_by_role("button", name="Exclude").click()
    stage.evaluate(CENTRE)
    stage.click(position={"x": 80, "y": 50})
    expect(page.get_by_text("1 object drawn.")).to_be_visible()
    page.get_by_role("button", name="Include").click()
    page.get_by_role("button", name="Next object").click()
    drag(page, stage, (50, 20), (110, 70))
    expect(page.get_by_text("2 objects drawn.")).to_be_visible()
    with page.expect_request("**/v1/vision/segment") as sent:
        answer = run(page)
    prompts = sent.value.post_data_json["prompts"]
    assert [sorted(prompt) for prompt in prompts] == [["point_labels", "points"], ["boxes"]]
    assert prompts[0]["point_labels"] == [1, 0]
    x0, y0, x1, y1 = prompts[1]["boxes"][0]
    assert 0 < x0 < x1 < WIDTH
    assert 0 < y0 < y1 < HEIGHT
    assert "prompt" not in sent.value.post_data_json
    found = answer.get_by_label("What was found").get_by_role("listitem")
    expect(found).to_have_count(2)
    eventually("masks are drawn", lambda: any(colours(page)[3::4]))
    window.addresses.clear()
    answer.get_by_label("Score of at least").press("End")
    expect(found).not_to_have_count(2)
    assert not [address for address in window.addresses if "/v1/vision/" in address]
    window.check_part("main")


def test_depth_is_coloured_and_read_under_the_pointer(window: OpenPage) -> None:
    page = open_with_image(window, "depth", "depth-indoor-large")
    answer = run(page)
    eventually("every pixel has a colour", lambda: colours(page)[3::4] == [255] * WIDTH * HEIGHT)
    answer.locator(".stage").hover(position={"x": 30, "y": 30})
    expect(answer.get_by_text(" at ")).to_contain_text(" m at ")
    answer.get_by_label("Colours over the image").fill("0")
    eventually("the image is seen", lambda: not any(colours(page)[3::4]))
    window.check_part(".task-output")


def test_points_are_drawn_turned_zoomed_and_saved(window: OpenPage, tmp_path: Path) -> None:
    page = open_with_image(window, "pointcloud", "depth-indoor-large")
    answer = run(page)
    answer.locator('.cloud[data-state="ready"]').wait_for()
    canvas = answer.locator(".cloud canvas")
    eventually("points have the colours of the image", lambda: greens(canvas.screenshot()) > 100)
    before = settled(canvas)
    drag(page, canvas, (150, 150), (210, 170))
    eventually("they are turned", lambda: canvas.screenshot() != before)
    before = settled(canvas)
    page.mouse.wheel(0, 400)
    eventually("they are further away", lambda: canvas.screenshot() != before)
    before = settled(canvas)
    canvas.press("ArrowLeft")
    eventually("they are turned by keyboard", lambda: canvas.screenshot() != before)
    page.emulate_media(color_scheme="dark")
    eventually("they are on a dark ground", lambda: ground(canvas.screenshot()) < 60 < ground(before))
    with page.expect_download() as download:
        answer.get_by_role("button", name="Save as PLY").click()
    download.value.save_as(tmp_path / "points.ply")
    assert f"element vertex {WIDTH * HEIGHT}".encode() in (tmp_path / "points.ply").read_bytes()
    window.check_part(".task-output")
    window.messages = [message for message in window.messages if "GPU stall" not in message]  # of the screenshots


def test_patches_like_the_one_under_the_pointer_are_shown(window: OpenPage) -> None:
    page = open_with_image(window, "features", "dinov3")
    answer = run(page)
    before = colours(page)
    answer.locator(".stage").hover(position={"x": 5, "y": 5})
    expect(answer.get_by_role("slider", name="Patch")).to_have_value("0")
    eventually("other patches are coloured", lambda: colours(page) != before)
    window.check_part(".task-output")


def test_painted_mask_is_redrawn_then_varied(window: OpenPage, server: RunningServer) -> None:
    page = open_with_image(window, "image-edit", "stable-diffusion")
    page.get_by_text("all of the image is redrawn").click()
    page.get_by_role("textbox", name="Size").fill("")
    page.get_by_role("spinbutton", name="Strength, as a number").fill("0.75")
    drag(page, page.locator(".task-form .stage"), (20, 20), (60, 20))  # and send it at once
    with page.expect_request("**/jobs/submit/image-edit") as sent:
        answer = run(page)
    assert sent.value.post_data_json["strength"] == 0.75
    mask = Image.open(io.BytesIO(decoded(sent.value.post_data_json["mask"]))).convert("L")
    assert mask.size == (WIDTH, HEIGHT)
    assert 0 < (np.asarray(mask) > 127).mean() < 0.5
    drawn = Image.open(io.BytesIO(decoded(answer.locator(".images img").get_attribute("src")))).convert("RGB")
    assert drawn.size == (WIDTH, HEIGHT)
    kept = np.asarray(drawn)[HEIGHT - 10 :]
    original = np.asarray(Image.open(io.BytesIO(IMAGE["buffer"])).convert("RGB"))[HEIGHT - 10 :]
    assert (kept == original).all()
    window.check_part("main")
    answer.get_by_role("button", name="Edit").click()
    expect(page.locator(".task-form").get_by_role("img", name="drawn.png").first).to_be_visible()
    answer.get_by_role("button", name="Vary").click()
    page.get_by_role("heading", name="Image variation", level=2).wait_for()
    page.get_by_role("img", name="drawn.png").wait_for()
    page.get_by_role("spinbutton", name="Count (n), as a number").fill("2")
    with page.expect_response(lambda response: response.request.method == "DELETE") as removed:
        answer = run(page)
    expect(answer.locator(".images img")).to_have_count(2)
    assert removed.value.json()["deleted"]
    assert server.get("/jobs/" + removed.value.url.rpartition("/")[2]).status_code == 404


def test_mask_of_a_tab_that_was_left_is_sent_later(window: OpenPage) -> None:
    page = open_with_image(window, "image-edit", "stable-diffusion")
    page.get_by_text("all of the image is redrawn").click()
    stage = page.locator(".task-form .stage")
    stage.wait_for()
    page.evaluate(SLOW_FILES)
    drag(page, stage, (20, 20), (60, 20))
    start = page.get_by_role("button", name="Run")
    expect(start).to_be_disabled()
    window.open("playground/ocr")
    eventually("the mask is read", lambda: page.evaluate("readOn()"))
    expect(start).to_be_enabled()
    window.open("playground/image-edit")
    expect(start).to_be_enabled()


def test_image_is_captioned_and_analyzed(window: OpenPage) -> None:
    for task, model in (("caption", "blip-base"), ("analyze", "vlm-best")):
        page = open_tab(window, task, model)
        if task == "caption":  # the next tab begins with its image
            choose_image(page, IMAGE)
        page.get_by_role("img", name="a.png").wait_for()
        page.get_by_label("Max tokens").fill("6")
        answer = run(page)
        expect(answer.locator(".answer-text, .json").first).to_be_visible()
        expect(answer.get_by_label("Where the time went")).to_contain_text("infer")
        expect(answer.get_by_role("button", name="Copy the text")).to_be_visible()
    window.check_part(".task-output")
