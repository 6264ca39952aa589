"""The playground by keyboard alone: a tab, a form, a request that is stopped, a mask, points and boxes, the camera."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.ui.browsing import OpenPage, expect
from tests.e2e.ui.keyboard import Keyboard


def choose_tab(keyboard: Keyboard, title: str) -> Any:
    keyboard.use(keyboard.page.get_by_role("navigation", name="Tasks").get_by_role("link", name=title, exact=True))
    keyboard.page.get_by_role("heading", name=title, level=2, exact=True).wait_for()
    return keyboard.page


def choose_model(keyboard: Keyboard, model: str) -> None:
    keyboard.choose(keyboard.page.get_by_label("Model", exact=True), model)


def test_request_is_sent_and_stopped_by_keyboard(window: OpenPage) -> None:
    keyboard = Keyboard(window.open("playground"))
    page = choose_tab(keyboard, "Completions")
    choose_model(keyboard, "slow")
    keyboard.reach(page.get_by_label("Prompt *"))
    keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text("word " * 1000)
    keyboard.use(page.get_by_role("button", name="Run"))
    keyboard.use(page.get_by_role("button", name="Stop"))
    expect(page.get_by_text("Stopped.")).to_be_visible()
    choose_tab(keyboard, "Rerank")
    choose_model(keyboard, "first")
    keyboard.use(page.get_by_role("button", name="Run"))
    answer = page.get_by_role("region", name="Answer")
    expect(answer.locator("meter").first).to_be_visible()
    keyboard.use(answer.get_by_role("button", name="JSON", exact=True), "Space")
    expect(answer.get_by_label("JSON")).to_contain_text("relevance_score")


def test_chat_is_written_stopped_and_repeated_by_keyboard(window: OpenPage) -> None:
    keyboard = Keyboard(window.open("playground"))
    page = choose_tab(keyboard, "Chat")
    choose_model(keyboard, "slow")
    keyboard.reach(page.get_by_role("textbox", name="Message", exact=True))
    page.keyboard.insert_text("word " * 1000)
    keyboard.press("Enter")
    keyboard.use(page.get_by_role("button", name="Stop"))
    answer = page.locator('.message[data-role="assistant"]')
    expect(answer).to_contain_text("Stopped.")
    keyboard.reach(page.get_by_role("button", name="Edit"), "Shift+Tab")
    keyboard.press("Enter")
    keyboard.reach(page.get_by_label("Edited message"))
    keyboard.press("ControlOrMeta+A")
    page.keyboard.type("few words")
    keyboard.use(page.get_by_role("button", name="Send again"))
    expect(answer.locator(".markdown")).to_contain_text("few words")


def test_camera_opens_and_closes_by_keyboard(window: OpenPage) -> None:
    keyboard = Keyboard(window.open("playground"))
    page = choose_tab(keyboard, "OCR")
    camera = page.get_by_role("button", name="Camera")
    keyboard.use(camera)
    expect(page.get_by_role("dialog", name="Camera")).to_be_visible()
    keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(camera).to_be_focused()
    keyboard.press("Enter")
    keyboard.use(page.get_by_role("button", name="Take a photo"))
    expect(page.get_by_role("img", name="camera.jpg")).to_be_visible()


def test_points_boxes_and_masks_are_drawn_by_keyboard(window: OpenPage) -> None:
    keyboard = Keyboard(window.open("playground"))
    page = choose_tab(keyboard, "Segment")
    keyboard.use(page.get_by_role("button", name="Points and boxes"))
    stage = page.get_by_role("application", name="The image, to draw on")
    keyboard.reach(stage)
    for key in ("ArrowLeft", "Enter", "Enter", "Alt+Enter", "Alt+Enter"):
        keyboard.press(key)
    expect(page.get_by_text("1 object drawn.")).to_be_visible()
    keyboard.use(page.get_by_role("button", name="Next object"))
    keyboard.reach(stage, "Shift+Tab")
    for key in ("Enter", "Escape", "Enter", *["ArrowDown", "ArrowRight"] * 5, "Shift+ArrowDown", "Enter"):
        keyboard.press(key)
    expect(page.get_by_text("2 objects drawn.")).to_be_visible()
    keyboard.use(page.get_by_text("As JSON"))
    points, boxes = json.loads(page.get_by_label("Prompts").input_value())
    assert points["points"][0] == points["points"][1]
    assert points["point_labels"] == [1, 0]
    [[x0, y0, x1, y1]] = boxes["boxes"]
    assert (x1 - x0) + 1 == y1 - y0
    choose_tab(keyboard, "Image edit")
    keyboard.use(page.locator("summary").filter(has_text="all of the image is redrawn"))
    keyboard.reach(page.get_by_role("application", name="The image, to paint on"))
    for key in ("Enter", "ArrowLeft", "ArrowLeft", "Enter"):
        keyboard.press(key)
    expect(page.get_by_role("img", name="painted mask")).to_be_visible()
    window.check_part(".task-form")
