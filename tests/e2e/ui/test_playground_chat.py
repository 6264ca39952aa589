"""Chat in the playground: streamed Markdown that can do nothing, pictures, stop, edit and again, two models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed.server import RunningServer, fake_model
from tests.e2e.ui.browsing import expect
from tests.e2e.ui.conftest import Opener
from tests.support.sample_images import png

HOSTILE = """# A title

- *one* & `two`

<img src=x onerror="document.title='pwned'"><script>document.title='pwned'</script><svg onload=alert(1)>

[a link](javascript:alert(1)) ![a picture](http://127.0.0.1:9/x.png) [good](http://127.0.0.1:9/page) \x1b[31mred
"""

SAFE_HTML = """async (text) => {
    const start = document.querySelector('script[type="module"]').src;
    return (await import(start.replace('app.js', 'views/playground/chat/markdown.js'))).safeHtml(text);
}"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate") / "open"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, gate: Path) -> Iterator[RunningServer]:
    models = [fake_model("first"), fake_model("second"), fake_model("slow", gate=str(gate))]
    with RunningServer(tmp_path_factory.mktemp("chat"), models) as server:
        yield server


def open_chat(opener: Opener, model: str = "first") -> Any:
    page = opener().open("playground/chat")
    page.get_by_label("Model", exact=True).select_option(model)
    return page


def say(page: Any, text: str) -> None:
    page.get_by_role("textbox", name="Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answers(page: Any) -> Any:
    return page.locator('.message[data-role="assistant"]')


def test_answers_are_markdown_that_can_do_nothing(opener: Opener) -> None:
    page = open_chat(opener)
    say(page, HOSTILE)  # the fake engine repeats it in one line
    answer = answers(page)
    expect(answer.locator(".speed summary")).to_contain_text("tokens")
    expect(answer.locator("em")).to_have_text("one")
    expect(answer.locator("code").first).to_have_text("two")
    expect(answer).to_contain_text("onerror=")
    expect(answer.get_by_role("link")).to_have_text(["good"])
    expect(answer.locator(".markdown").locator("img, script, svg, iframe, [onerror], [onload], [style]")).to_have_count(
        0
    )
    assert "pwned" not in page.title()
    answer.locator(".speed summary").click()
    expect(answer.get_by_label("Where the time went")).to_contain_text("infer")


def test_html_in_markdown_is_text(opener: Opener) -> None:
    page = opener().open("playground/chat")
    markup = page.evaluate(SAFE_HTML, HOSTILE + "\n| a |\n|---|\n| <b onclick=x>1</b> |\n\n```html\n<script>\n```\n")
    assert "<h1>A title</h1>" in markup
    assert "<li><em>one</em> &amp; <code>two</code></li>" in markup
    assert "&lt;script&gt;" in markup
    assert '<a href="http://127.0.0.1:9/page" target="_blank" rel="noopener noreferrer">good</a>' in markup
    assert all(tag not in markup for tag in ("<img", "<script", "<svg", "<b ", "javascript:"))


def test_pictures_are_sent_with_the_message(opener: Opener) -> None:
    page = open_chat(opener)
    page.get_by_label("Add pictures").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": png(9, 9)})
    page.get_by_role("img", name="a.png").wait_for()
    with page.expect_request("**/v1/chat/completions") as sent:
        say(page, "What is it?")
    content = sent.value.post_data_json["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]
    expect(answers(page).locator(".speed")).to_be_visible()


def test_answer_is_stopped_then_edited_and_sent_again(opener: Opener, gate: Path) -> None:
    page = open_chat(opener, "slow")
    say(page, "never mind")
    page.get_by_role("button", name="Stop").click()
    expect(answers(page)).to_contain_text("Stopped.")
    gate.touch()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Edited message").fill("better words")
    page.get_by_role("button", name="Send again").click()
    expect(answers(page).locator(".markdown")).to_contain_text("better words")
    page.get_by_role("button", name="Again").click()
    expect(answers(page)).to_have_count(1)
    expect(answers(page).locator(".speed")).to_be_visible()
    page.get_by_role("link", name="OCR", exact=True).click()
    page.get_by_role("link", name="Chat", exact=True).click()
    expect(answers(page).locator(".markdown")).to_contain_text("better words")
    page.get_by_role("button", name="New conversation").click()
    expect(answers(page)).to_have_count(0)


def test_two_models_answer_the_same_message(opener: Opener) -> None:
    page = open_chat(opener)
    page.get_by_role("button", name="Compare").click()
    page.get_by_label("Beside it").select_option("second")
    say(page, "both of you")
    for model in ("first", "second"):
        conversation = page.get_by_role("region", name=f"Conversation with {model}")
        expect(conversation.locator(".markdown")).to_contain_text("both of you")


def test_errors_are_part_of_the_conversation(opener: Opener) -> None:
    window = opener()
    window.allow_failed_requests = True
    page = window.open("playground/chat")
    page.get_by_label("Model", exact=True).select_option("first")
    page.get_by_label("Max tokens").fill("0")
    say(page, "hello")
    expect(page.get_by_role("alert")).to_contain_text("max_tokens")


def test_chat_is_accessible(opener: Opener) -> None:
    window = opener()
    page = window.open("playground/chat")
    page.get_by_label("Model", exact=True).select_option("first")
    say(page, "Hello **there**, `you`")
    expect(answers(page).locator(".speed")).to_be_visible()
    window.check_accessible()
