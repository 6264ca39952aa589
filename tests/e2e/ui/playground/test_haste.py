"""A user who is faster than the page: whatever is done right after something else counts and is sent."""

from __future__ import annotations

from typing import Any

from tests.e2e.ui.browsing import OpenPage, expect
from tests.e2e.ui.playground_page import give, open_tab, run
from tests.support.sample_images import png

SLOW_FILES = """() => {
    const read = FileReader.prototype.readAsDataURL;
    const waiting = [];
    FileReader.prototype.readAsDataURL = function (blob) { waiting.push(() => read.call(this, blob)); };
    window.readOn = () => waiting.splice(0).map((go) => go()).length;
}"""
PASTE_IN_THE_NEXT_TAB = """() => new Promise((resolve) => {
    addEventListener("hashchange", () => setTimeout(resolve), { once: true });
    addEventListener("hashchange", () => queueMicrotask(() => {
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([new Uint8Array(9)], "pasted.png", { type: "image/png" }));
        document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
    }), { once: true });
    location.hash = "#/playground/image-edit";
})"""
TYPE_AND_LEAVE = """(input) => {
    input.value = "half a thought";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    location.hash = "#/playground/ocr";
}"""
SUBMIT_TWICE = "(button) => { button.click(); queueMicrotask(() => queueMicrotask(() => button.click())); }"
OPENS_AT_ONCE = """(button) => new Promise((resolve) => {
    button.click();
    queueMicrotask(() => queueMicrotask(() => resolve(Boolean(document.querySelector("dialog")?.open))));
})"""
SAVE_WHAT_IS_NOT_CHECKED = """([editor, save]) => new Promise((resolve) => {
    editor.value += "#";
    editor.dispatchEvent(new Event("input", { bubbles: true }));
    queueMicrotask(() => queueMicrotask(() => resolve(save.disabled)));
})"""


def image(name: str) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": png(9, 9)}


def test_request_waits_for_files_that_are_being_read(window: OpenPage) -> None:
    page = open_tab(window, "ocr", "first")
    page.evaluate(SLOW_FILES)
    zone = page.locator(".drop-zone")
    give(zone, "drop", image("one.png"))
    give(zone, "drop", image("two.png"))
    expect(page.get_by_role("button", name="Run")).to_be_disabled()
    page.evaluate("readOn()")
    for name in ("one.png", "two.png"):
        expect(page.get_by_role("img", name=name)).to_be_visible()
    with page.expect_request("**/v1/vision/ocr") as sent:
        run(page)
    assert len(sent.value.post_data_json["image"]) == 2


def test_message_waits_for_files_that_are_being_read(window: OpenPage) -> None:
    page = open_tab(window, "chat", "first")
    page.evaluate(SLOW_FILES)
    give(page.locator(".composer"), "drop", image("one.png"))
    page.get_by_role("textbox", name="Message", exact=True).fill("What is it?")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    page.evaluate("readOn()")
    with page.expect_request("**/v1/chat/completions") as sent:
        page.get_by_role("button", name="Send").click()
    assert len(sent.value.post_data_json["messages"][0]["content"]) == 2


def test_paste_reaches_the_tab_that_was_just_opened(window: OpenPage) -> None:
    page = open_tab(window, "rerank", "first")
    page.evaluate(PASTE_IN_THE_NEXT_TAB)
    expect(page.get_by_role("button", name="Remove pasted.png")).to_be_visible()


def test_what_was_typed_last_is_kept_in_another_tab(window: OpenPage) -> None:
    page = open_tab(window, "completions", "first")
    page.get_by_label("Prompt *").evaluate(TYPE_AND_LEAVE)
    page.get_by_role("heading", name="OCR", level=2).wait_for()
    page.get_by_role("link", name="Completions", exact=True).click()
    expect(page.get_by_label("Prompt *")).to_have_value("half a thought")


def test_job_is_submitted_once_by_two_clicks(window: OpenPage) -> None:
    page = window.open("jobs")
    page.get_by_role("button", name="New job …").click()
    page.get_by_label("Task").select_option("completions")
    page.get_by_label("Request, as JSON").fill('{"model": "first", "prompt": "hello"}')
    page.get_by_role("button", name="Submit").evaluate(SUBMIT_TWICE)
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert len([address for address in window.addresses if "jobs/submit" in address]) == 1


def test_dialogs_open_with_the_click(window: OpenPage) -> None:
    page = window.open("keys")
    assert page.get_by_role("button", name="Make a key").evaluate(OPENS_AT_ONCE)
    expect(page.get_by_label("Name")).to_be_focused()


def test_only_a_checked_configuration_is_saved(window: OpenPage) -> None:
    page = window.open("configuration")
    editor, save = page.get_by_label("The configuration file"), page.get_by_role("button", name="Compare and save")
    editor.fill(f"{editor.input_value()}\n# one")
    expect(save).to_be_enabled()
    assert page.evaluate(SAVE_WHAT_IS_NOT_CHECKED, [editor.element_handle(), save.element_handle()])
    expect(save).to_be_enabled()
