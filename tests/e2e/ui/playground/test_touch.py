"""Fingers in the playground: one paints and does not scroll the page, a second one changes nothing."""

from __future__ import annotations

from typing import Any

from tests.e2e.ui.browsing import PHONE, expect
from tests.e2e.ui.conftest import Opener
from tests.e2e.ui.playground_page import choose_image, open_tab
from tests.support.sample_images import png

PAINTED = """(canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const columns = new Set();
    for (let at = 3; at < data.length; at += 4) if (data[at]) columns.add(((at - 3) / 4) % canvas.width);
    return [...columns];
}"""


def touch(session: Any, kind: str, *fingers: tuple[float, float]) -> None:
    points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(fingers)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_one_finger_paints_a_mask(opener: Opener) -> None:
    window = opener(has_touch=True)
    window.page.set_viewport_size(PHONE)
    page = open_tab(window, "image-edit")
    choose_image(page, {"name": "a.png", "mimeType": "image/png", "buffer": png(300, 200)})
    page.get_by_text("all of the image is redrawn").click()
    stage = page.locator(".task-form .stage")
    stage.evaluate("(element) => element.scrollIntoView({block: 'center'})")
    before, box = page.evaluate("scrollY"), stage.bounding_box()
    session = window.context.new_cdp_session(page)
    x, y = box["x"] + 40, box["y"]
    touch(session, "touchStart", (x, y + 20))
    touch(session, "touchMove", (x, y + 60))
    touch(session, "touchStart", (x, y + 60), (x + 150, y + 60))
    touch(session, "touchMove", (x, y + 90), (x + 150, y + 90))
    touch(session, "touchEnd")
    page.get_by_role("img", name="painted mask").wait_for()
    assert page.evaluate("scrollY") == before
    columns = page.locator("canvas.painted").evaluate(PAINTED)
    assert 0 < len(columns) < 60  # those under the first finger
    expect(page.get_by_text("Mask set")).to_be_visible()
    page.get_by_role("button", name="Remove a.png").click()
    expect(page.get_by_text("none: all of the image is redrawn")).to_be_visible()  # it was painted on the other image
