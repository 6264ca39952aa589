"""What tests do with the playground: choose a tab and a model, send the form, give files to it."""

from __future__ import annotations

import base64
from typing import Any

from tests.e2e.ui.browsing import OpenPage, expect

TRANSFER = """([event, files]) => {
    const transfer = new DataTransfer();
    for (const {name, type, base64} of files) {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], name, {type}));
    }
    const init = {bubbles: true, cancelable: true};
    return event === 'paste'
        ? new ClipboardEvent('paste', {...init, clipboardData: transfer})
        : new DragEvent(event, {...init, dataTransfer: transfer});
}"""


def open_tab(window: OpenPage, task: str, model: str | None = None) -> Any:
    """Open the tab of a task, and choose a model."""
    page = window.open(f"playground/{task}")
    if model:
        page.get_by_label("Model", exact=True).select_option(model)
    return page


def run(page: Any) -> Any:
    """Send the form, and return the region of the answer once it is there."""
    page.get_by_role("button", name="Run").click()
    answer = page.get_by_role("region", name="Answer")
    expect(answer.get_by_label("Where the time went")).to_contain_text("total")
    return answer


def give(target: Any, event: str, *files: dict[str, Any]) -> None:
    """Drop or paste files at an element, as the browser does: `event` is `drop` or `paste`."""
    sent = [
        {"name": file["name"], "type": file["mimeType"], "base64": base64.b64encode(file["buffer"]).decode()}
        for file in files
    ]
    target.evaluate(f"(element, sent) => element.dispatchEvent(({TRANSFER})(sent))", [event, sent])


def choose_image(page: Any, image: dict[str, Any]) -> None:
    """Choose an image in the form's first field for images."""
    page.locator(".task-form input[type=file]").first.set_input_files(image)
    page.get_by_role("img", name=image["name"]).first.wait_for()


def drag(page: Any, element: Any, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Drag the pointer over an element, between two places inside it."""
    element.evaluate("(element) => element.scrollIntoView({block: 'center'})")
    element.hover(position={"x": start[0], "y": start[1]})  # once it has stopped to move
    box = element.bounding_box()
    page.mouse.down()
    page.mouse.move(box["x"] + end[0], box["y"] + end[1])
    page.mouse.up()


def decoded(data_url: str | None) -> bytes:
    """The file in a data URL."""
    return base64.b64decode((data_url or "").partition(",")[2])
