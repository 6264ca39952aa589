"""What the playground draws, with real models: boxes, masks, depth, points, features, text, and drawn images."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts.demo_models.__main__ import build
from scripts.testbed.server import RunningServer
from tests.conftest import Models
from tests.e2e.ui.browsing import expect
from tests.e2e.ui.conftest import Opener
from tests.support.engine_cases import text_image
from tests.support.sample_images import png

pytestmark = pytest.mark.e2e  # it starts eight real models

WIDTH, HEIGHT = 160, 120
CENTRE = "(element) => element.scrollIntoView({block: 'center'})"
PICTURE = {"name": "a.png", "mimeType": "image/png", "buffer": png(WIDTH, HEIGHT)}


@pytest.fixture(scope="module")
def server(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("pictures")
    families = {
        "detector": ("transformers_detect", "grounding_dino"),
        "segmenter": ("transformers_segment", "sam2"),
        "depth-model": ("depth_anything", "depth_metric"),
        "dino-model": ("dino", "dinov3"),
    }
    entries: list[dict[str, Any]] = [
        {"id": id_, "engine": engine, "source": str(models(family)), "device": "cpu", "options": {"threads": 1}}
        for id_, (engine, family) in families.items()
    ]
    entries += [
        {"id": "reader", "engine": "rapidocr"},
        {"id": "drawer", "engine": "diffusers_image", "source": str(build(folder, "image")), "defaults": {"steps": 4}},
    ]
    with RunningServer(folder, entries) as server:
        yield server


def open_tab(opener: Opener, task: str, picture: dict[str, Any] = PICTURE) -> Any:
    page = opener().open(f"playground/{task}")
    page.get_by_label("Image", exact=False).locator("visible=true").first.set_input_files(picture)
    page.get_by_role("img", name=picture["name"]).first.wait_for()
    return page


def run(page: Any) -> Any:
    """Run the request, and return the answer's region."""
    page.get_by_role("button", name="Run").click()
    answer = page.get_by_role("region", name="Answer")
    expect(answer.get_by_label("Where the time went")).to_contain_text("total")
    return answer


def colours(page: Any) -> list[int]:
    """The pixels of the canvas over the picture of an answer, as red, green, blue and opacity."""
    script = """(canvas) => {
        const context = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
        context.drawImage(canvas, 0, 0);
        return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
    }"""
    values: list[int] = page.locator(".task-output canvas.stage-layer").evaluate(script)
    return values


def test_boxes_are_hidden_by_score_without_a_request(opener: Opener) -> None:
    page = open_tab(opener, "detect")
    page.get_by_role("textbox", name="Prompt").fill("a cat\na dog")
    page.get_by_role("spinbutton", name="Box threshold, as a number").fill("0")
    answer = run(page)
    rows = answer.get_by_label("What was found").get_by_role("listitem")
    total = rows.count()
    assert total == answer.locator(".box-label").count() > 0
    slider = answer.get_by_label("Score of at least")
    with pytest.raises(Exception, match="Timeout"), page.expect_request("**/v1/vision/**", timeout=1000):
        slider.press("End")
    assert answer.locator(".box-label").count() < total


def test_masks_answer_points_and_boxes_that_are_drawn(opener: Opener) -> None:
    page = open_tab(opener, "segment")
    page.get_by_role("button", name="Points and boxes").click()
    stage = page.locator(".task-form .stage")
    stage.evaluate(CENTRE)
    stage.click(position={"x": 40, "y": 30})
    expect(page.get_by_text("1 drawn.")).to_be_visible()
    page.get_by_role("button", name="Next object").click()
    stage.evaluate(CENTRE)
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 110, box["y"] + 70)
    page.mouse.up()
    expect(page.get_by_text("2 drawn.")).to_be_visible()
    with page.expect_request("**/v1/vision/segment") as sent:
        answer = run(page)
    prompts = sent.value.post_data_json["prompts"]
    assert [sorted(prompt) for prompt in prompts] == [["point_labels", "points"], ["boxes"]]
    x0, y0, x1, y1 = prompts[1]["boxes"][0]
    assert 0 < x0 < x1 < WIDTH
    assert 0 < y0 < y1 < HEIGHT
    assert "prompt" not in sent.value.post_data_json
    expect(answer.get_by_label("What was found").get_by_role("listitem")).to_have_count(2)
    assert any(colours(page)[3::4])


def test_depth_is_coloured_and_read_under_the_pointer(opener: Opener) -> None:
    page = open_tab(opener, "depth")
    answer = run(page)
    assert colours(page)[3::4] == [255] * WIDTH * HEIGHT
    answer.locator(".stage").hover(position={"x": 30, "y": 30})
    expect(answer.get_by_text(" at ")).to_be_visible()


def test_points_are_drawn_turned_and_saved(opener: Opener, tmp_path: Path) -> None:
    window = opener()
    page = window.open("playground/pointcloud")
    page.get_by_label("Image", exact=False).locator("visible=true").first.set_input_files(PICTURE)
    page.get_by_role("img", name="a.png").wait_for()
    answer = run(page)
    answer.locator('.cloud[data-state="ready"]').wait_for()
    canvas = answer.locator(".cloud canvas")
    before = canvas.screenshot()
    assert len(set(Image.open(io.BytesIO(before)).convert("RGB").getdata())) > 10
    canvas.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert canvas.screenshot() != before
    with page.expect_download() as download:
        answer.get_by_role("button", name="Save as PLY").click()
    download.value.save_as(tmp_path / "points.ply")
    assert f"element vertex {WIDTH * HEIGHT}".encode() in (tmp_path / "points.ply").read_bytes()
    window.messages = [message for message in window.messages if "GPU stall" not in message]  # of the screenshots


def test_patches_like_the_one_under_the_pointer_stand_out(opener: Opener) -> None:
    page = open_tab(opener, "features")
    answer = run(page)
    before = colours(page)
    answer.locator(".stage").hover(position={"x": 5, "y": 5})
    expect(answer.get_by_label("Patch")).to_have_value("0")
    assert colours(page) != before


def test_text_is_shown_over_the_picture(opener: Opener) -> None:
    picture = {**PICTURE, "buffer": base64.b64decode(text_image("Hello"))}
    page = open_tab(opener, "ocr", picture)
    answer = run(page)
    expect(answer.locator(".ocr-line text")).to_contain_text("Hello")
    expect(answer.get_by_label("Lines")).to_contain_text("Hello")
    answer.get_by_label("Text over the picture").uncheck()
    expect(answer.locator(".ocr-line text")).to_have_count(0)


def test_mask_is_painted_and_only_that_is_drawn_again(opener: Opener) -> None:
    page = open_tab(opener, "image-edit")
    page.get_by_text("draws all of it again").click()
    stage = page.locator(".task-form .stage")
    stage.evaluate(CENTRE)
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 20)
    page.mouse.up()
    page.get_by_role("img", name="painted mask").wait_for()
    page.get_by_role("textbox", name="Size").fill("")
    with page.expect_request("**/jobs/submit/image-edit") as sent:
        answer = run(page)
    mask = Image.open(io.BytesIO(decoded(sent.value.post_data_json["mask"]))).convert("L")
    assert mask.size == (WIDTH, HEIGHT)
    painted = np.asarray(mask) > 127
    assert 0 < painted.mean() < 0.5
    drawn = Image.open(io.BytesIO(decoded(answer.locator(".images img").get_attribute("src")))).convert("RGB")
    assert drawn.size == (WIDTH, HEIGHT)
    kept = np.asarray(drawn)[HEIGHT - 10 :]
    original = np.asarray(Image.open(io.BytesIO(PICTURE["buffer"])).convert("RGB"))[HEIGHT - 10 :]
    assert (kept == original).all()
    answer.get_by_role("button", name="Vary").click()
    page.get_by_role("heading", name="Image variation", level=2).wait_for()
    page.get_by_role("img", name="drawn.png").wait_for()


def test_jobs_of_the_playground_are_removed(opener: Opener, server: RunningServer) -> None:
    page = opener().open("playground/image-generation")
    page.get_by_role("spinbutton", name="N, as a number").fill("2")
    with page.expect_response(lambda response: response.request.method == "DELETE") as removed:
        answer = run(page)
    expect(answer.locator(".images img")).to_have_count(2)
    assert removed.value.json()["deleted"]
    assert server.get("/jobs/" + removed.value.url.rpartition("/")[2]).status_code == 404


def test_pictures_of_answers_are_accessible(opener: Opener) -> None:
    window = opener()
    page = window.open("playground/ocr")
    run(page)
    window.check_accessible()


def decoded(data_url: str | None) -> bytes:
    return base64.b64decode((data_url or "").partition(",")[2])
