"""Chat in the playground: streamed Markdown that can do nothing, images, stop, edit and again, two models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed.server import eventually
from tests.e2e.ui.browsing import DESKTOP, PHONE, OpenPage, expect
from tests.e2e.ui.playground.conftest import EVIL_NAME
from tests.e2e.ui.playground_page import give, open_tab
from tests.support.sample_images import png

HOSTILE = """# A title

- *one* & `two`

<img src=x onerror="document.title='pwned'"><script>document.title='pwned'</script><svg onload=alert(1)>

[a link](javascript:alert(1)) ![an image](http://127.0.0.1:9/x.png) [good](http://127.0.0.1:9/page) \x1b[31mred
"""

SAFE_HTML = """async (text) => {
    const start = document.querySelector('script[type="module"]').src;
    return (await import(start.replace('app.js', 'views/playground/chat/markdown.js'))).safeHtml(text);
}"""


def say(page: Any, text: str) -> None:
    page.get_by_role("textbox", name="Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answers(page: Any) -> Any:
    return page.locator('.message[data-role="assistant"]')


def image(name: str) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": png(9, 9)}


def test_answers_are_markdown_that_can_do_nothing(window: OpenPage) -> None:
    page = open_tab(window, "chat", "first")
    say(page, HOSTILE)  # the fake engine repeats it in one line
    answer = answers(page)
    expect(answer.locator(".speed summary")).to_contain_text(re.compile("first token after .* tokens"))
    expect(answer.locator("em")).to_have_text("one")
    expect(answer.locator("code").first).to_have_text("two")
    expect(answer).to_contain_text("onerror=")
    expect(answer.get_by_role("link")).to_have_text(["good"])
    expect(answer.locator(".markdown").locator("img, script, svg, iframe, [onerror], [onload], [style]")).to_have_count(
        0
    )
    assert "pwned" not in page.title()
    answer.locator(".speed summary").click()
    expect(answer.get_by_label("Where the time went")).to_contain_text(re.compile("infer|answer"))
    markup = page.evaluate(SAFE_HTML, HOSTILE + "\n| a |\n|---|\n| <b onclick=x>1</b> |\n\n```html\n<script>\n```\n")
    assert "<h1>A title</h1>" in markup
    assert "<li><em>one</em> &amp; <code>two</code></li>" in markup
    assert "&lt;script&gt;" in markup
    assert '<a href="http://127.0.0.1:9/page" target="_blank" rel="noopener noreferrer">good</a>' in markup
    assert all(tag not in markup for tag in ("<img", "<script", "<svg", "<b ", "javascript:"))


def test_images_come_by_file_drop_paste_and_camera(window: OpenPage) -> None:
    page = open_tab(window, "chat", "first")
    page.get_by_label("Add images").set_input_files(image(EVIL_NAME.replace("/", " ") + ".png"))
    give(page.locator(".composer"), "drop", image("dropped.png"), image("too.png"))
    give(page.locator("body"), "paste", image("pasted.png"))
    page.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Take a photo").click()
    attached = page.locator(".composer .thumbnails img")
    expect(attached).to_have_count(5)
    assert attached.evaluate_all("(all) => all.map((image) => image.alt)")[-1] == "camera.jpg"
    page.get_by_role("button", name="Remove too.png").press("Enter")
    expect(attached).to_have_count(4)
    give(page.locator(".composer"), "drop", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"?"})
    expect(page.get_by_text("notes.txt is not an image.")).to_be_visible()
    with page.expect_request("**/v1/chat/completions") as sent:
        say(page, "What are they?")
    content = sent.value.post_data_json["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url"] * 4 + ["text"]
    assert content[3]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")
    expect(answers(page).locator(".markdown")).to_contain_text("(4 images)")
    expect(page.locator(".message .thumbnails img")).to_have_count(4)
    expect(page.locator(".thumbnails button")).to_have_count(0)
    assert "pwned" not in page.title()


def test_closed_camera_sends_nothing(window: OpenPage) -> None:
    page = open_tab(window, "chat", "first")
    page.get_by_role("textbox", name="Message", exact=True).fill("not yet")
    page.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(answers(page)).to_have_count(0)


def test_answer_is_stopped_then_edited_and_sent_again(window: OpenPage, gates: Path) -> None:
    page = open_tab(window, "chat", "gated")
    say(page, "never mind")
    page.get_by_role("button", name="Stop").click()
    expect(answers(page)).to_contain_text("Stopped.")
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Edited message").fill("better words")
    page.get_by_role("button", name="Send again").click()
    page.get_by_role("link", name="OCR", exact=True).click()
    page.get_by_role("heading", name="OCR", level=2).wait_for()
    (gates / "answer").touch()
    page.get_by_role("link", name="Chat", exact=True).click()
    expect(answers(page).locator(".markdown")).to_contain_text("better words")  # it was written meanwhile
    page.get_by_role("button", name="Again").click()
    expect(answers(page)).to_have_count(1)
    expect(answers(page).locator(".speed")).to_be_visible()
    page.get_by_role("button", name="New conversation").click()
    expect(answers(page)).to_have_count(0)


def test_waiting_message_says_what_it_waits_for(window: OpenPage, gates: Path) -> None:
    page = open_tab(window, "chat", "cold")
    say(page, "good morning")
    expect(answers(page).get_by_role("status")).to_have_text("Loading cold for the first time …")
    (gates / "chat").touch()
    expect(answers(page).locator(".markdown")).to_contain_text("good morning")
    answers(page).locator(".speed summary").click()
    expect(answers(page).get_by_label("Where the time went")).to_contain_text(re.compile("wait|load"))


def test_long_lines_of_code_stay_inside(window: OpenPage) -> None:
    page = open_tab(window, "chat", "first")
    say(page, "hello")
    expect(answers(page).locator(".speed")).to_be_visible()
    expect(answers(page).locator(".message-name")).to_have_text("first")
    markup = page.evaluate(SAFE_HTML, "```\n" + "word " * 200 + "\n```\n\n|" + " long words |" * 40 + "\n|" + "-|" * 40)
    answers(page).locator(".markdown").evaluate("(element, markup) => (element.innerHTML = markup)", markup)
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        window.check_width(size["width"])


def test_text_from_right_to_left_begins_at_the_right(window: OpenPage) -> None:
    page = open_tab(window, "chat", "first")
    say(page, "שלום עולם. (English) סוף.")
    script = """(element) => {
        const range = document.createRange();
        range.selectNodeContents(element);
        return element.getBoundingClientRect().right - range.getBoundingClientRect().right;
    }"""
    assert answers(page).locator(".markdown p").evaluate(script) == pytest.approx(0, abs=1)


def test_end_is_in_sight_unless_one_scrolls_away(window: OpenPage) -> None:
    page = open_tab(window, "chat", "first")
    say(page, "word " * 900)
    expect(answers(page).locator(".speed")).to_be_visible()
    eventually("the end is in sight", lambda: page.evaluate(BELOW_COMPOSER) <= 0)
    page.get_by_label("Model", exact=True).select_option("slow")
    say(page, "word " * 1000)
    expect(answers(page).last.locator(".markdown")).to_contain_text("word")
    eventually("the new answer is in sight", lambda: page.evaluate(BELOW_COMPOSER) <= 0)
    page.evaluate("scrollTo(0, 0)")
    words = len(answers(page).last.inner_text().split())
    expect(answers(page).last.locator(".markdown")).to_contain_text("word " * (words + 45))
    assert page.evaluate("scrollY") == 0
    page.get_by_role("button", name="Stop").click()


BELOW_COMPOSER = """() => {
    const answer = [...document.querySelectorAll('.message[data-role="assistant"]')].at(-1);
    return answer.getBoundingClientRect().bottom - document.querySelector('.composer').getBoundingClientRect().top;
}"""


def test_two_models_answer_the_same_message(window: OpenPage) -> None:
    page = open_tab(window, "chat", "first")
    page.get_by_role("button", name="Compare").click()
    page.get_by_label("Second model").select_option(EVIL_NAME)
    say(page, "both of you")
    for model in ("first", EVIL_NAME):
        conversation = page.get_by_label(f"Conversation with {model}", exact=True)
        expect(conversation.locator(".markdown")).to_contain_text("both of you")
    page.get_by_text("The same request in code").click()
    expect(page.get_by_label("The request as curl")).to_contain_text("svg/onload")
    assert "pwned" not in page.title()
    window.check_part("main")


def test_errors_are_part_of_the_conversation(window: OpenPage) -> None:
    window.allow_failed_requests = True
    page = open_tab(window, "chat", "first")
    page.get_by_label("Max tokens").fill("0")
    say(page, "hello")
    expect(page.get_by_role("alert")).to_contain_text("max_tokens")
    page.get_by_label("Max tokens").fill("")
    page.get_by_label("Model", exact=True).select_option("broken")
    page.get_by_role("button", name="Again").click()
    expect(page.get_by_role("alert")).to_contain_text("onerror=")
    page.get_by_text("More options").click()
    page.get_by_label("Tools", exact=True).fill("[{]")
    say(page, "hello")
    expect(page.get_by_text("Tools is not JSON")).to_be_visible()
    assert "pwned" not in page.title()
