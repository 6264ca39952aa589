"""Requests, logs, keys and the configuration in the page: live, searched, by keyboard, and text is only ever text."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from contract.config import hash_key
from scripts.testbed.server import RunningServer, eventually, fake_model
from tests.e2e.ui.browsing import expect, expect_said
from tests.e2e.ui.conftest import Opener
from tests.support.sample_images import png

ADMIN = "admin-secret"
EVIL = '<img src=x onerror="window.hacked=1"><svg onload="window.hacked=1"><script>window.hacked=1</script>'
EVIL_MODEL = "<svg/onload=window.hacked=1>"
HEADERS = {"authorization": f"Bearer {ADMIN}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    keys = [
        {"name": "boss", "key_hash": hash_key(ADMIN), "scopes": ["admin"]},
        {"name": EVIL, "key_hash": hash_key("evil-secret"), "rate_limit": "60/minute"},
    ]
    models = [fake_model("m"), fake_model(EVIL_MODEL)]
    sections = {"security": {"api_keys": keys}, "gateway": {"capture_requests": 9}}
    with RunningServer(tmp_path_factory.mktemp("administration"), models, **sections) as server:
        yield server


def chat(server: RunningServer, model: str, key: str = ADMIN) -> str:
    """Send a request. Returns its id."""
    body = {"model": model, "messages": [{"role": "user", "content": EVIL}]}
    answer = server.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
    return answer.headers["x-request-id"]


def check_text_stays_text(page: Any) -> None:
    """Nothing that came from outside has become markup, or has run."""
    assert page.evaluate("window.hacked") is None
    assert page.locator("body script, img[src='x'], [onload], [onerror], [onclick]").count() == 0


def test_requests_arrive_live_and_open_by_keyboard(server: RunningServer, opener: Opener) -> None:
    window = opener(key=ADMIN)
    page = window.open("requests")
    expect(page.get_by_text("No request yet")).to_be_visible()
    id_ = chat(server, EVIL_MODEL, "evil-secret")
    failed = chat(server, "nope")
    rows = page.get_by_role("listitem").get_by_role("button")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("model_not_found")
    expect(rows.last).to_contain_text(EVIL_MODEL)
    expect(rows.last).to_contain_text(EVIL)
    page.get_by_label("Outcome").select_option("failed")
    expect(rows).to_have_count(1)
    page.get_by_label("Outcome").select_option("")
    page.get_by_label("Search").fill(id_)
    expect(rows).to_have_count(1)
    rows.first.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    for text in (id_, EVIL, "POST /v1/chat/completions", "waited for its model to load"):
        expect(dialog).to_contain_text(text)
    dialog.get_by_text("Sent").click()
    expect(dialog.locator("pre").first).to_contain_text("<script>window.hacked=1</script>")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(rows.first).to_be_focused()
    page.get_by_label("Search").fill(failed)
    expect(rows.first).to_contain_text("404")
    window.check_accessible()
    check_text_stays_text(page)


def test_captured_images_are_thumbnails(server: RunningServer, opener: Opener) -> None:
    url = f"data:image/png;base64,{base64.b64encode(png(300, 200, noise=True)).decode()}"
    foreign = {"type": "text", "text": "![x](http://127.0.0.1:9/x.png)"}
    content = [*({"type": "image_url", "image_url": {"url": url}} for _ in range(10)), foreign]
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    sent = server.post("/v1/chat/completions", json=body, headers=HEADERS)
    assert sent.status_code == 200
    page = opener(key=ADMIN).open("requests")
    page.get_by_label("Search").fill(sent.headers["x-request-id"])
    page.get_by_role("listitem").get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Sent").click()
    images = dialog.get_by_role("img", name="The image in")
    expect(images).to_have_count(8)
    expect(dialog).to_contain_text("300 × 200")
    expect(images.last).to_have_js_property("naturalWidth", 160)
    sources = images.evaluate_all("(all) => all.map((image) => image.src)")
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    check_text_stays_text(page)


def test_logs_are_searched_and_live(server: RunningServer, opener: Opener) -> None:
    log = server.home / "logs" / "m.log"
    log.parent.mkdir(exist_ok=True)
    (log.parent / "manager.log").write_text("the manager's line\n")
    log.write_text(
        "".join(f"line {number}\n" for number in range(2000)) + f"ERROR \x1b[31m{EVIL}\x1b[0m \x1b]0;x\x07\n"
    )
    window = opener(key=ADMIN)
    page = window.open("logs/m")
    lines = page.get_by_role("listitem")
    expect(lines.last).to_contain_text(f"ERROR {EVIL} ␛]0;x␇")
    with log.open("a") as file:
        file.write("written meanwhile\n")
    expect(lines.last).to_have_text("written meanwhile")
    page.get_by_role("button", name="Show earlier lines").click()
    expect(page.get_by_role("status").first).to_contain_text("1,001 lines")
    page.get_by_label("Search").fill("LINE 77")
    expect(page.get_by_role("status").first).to_contain_text("11 lines with “LINE 77”")
    expect(lines.first).to_have_text("line 77")
    with log.open("a") as file:
        file.write("not this one\nline 7777\n")
    expect(lines.last).to_have_text("line 7777")
    lines.last.get_by_role("button").press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("line 7777")
    page.keyboard.press("Escape")
    page.get_by_label("Log", exact=True).select_option("manager")
    expect(page).to_have_url(f"{window.url}/ui#/logs/manager")
    expect(lines.last).to_have_text("the manager's line")
    window.check_accessible()
    check_text_stays_text(page)


SIZES = """(name) => performance.getEntriesByType("resource").filter((entry) => entry.name.includes(name))
    .map((entry) => entry.decodedBodySize)"""


def test_a_log_of_100_mb_opens_at_its_end(server: RunningServer, opener: Opener) -> None:
    log = server.home / "logs" / "m.2.log"
    block = "".join(f"{number:07} {'x' * 92}\n" for number in range(10_000)).encode()
    with log.open("wb") as file:
        for _ in range(100):
            file.write(block)
        file.write(b"the end\n")
    window = opener(key=ADMIN)
    page = window.open("logs/m.2")
    lines = page.get_by_role("listitem")
    expect(lines.last).to_have_text("the end")
    page.get_by_role("button", name="Show earlier lines").click()
    expect(page.get_by_role("status").first).to_contain_text("1,000 lines")
    assert lines.count() < 100, "only the lines in sight are rendered"
    page.get_by_label("Search").fill("no line has this")
    expect(page.get_by_role("button", name="Search further back")).to_be_enabled()
    sizes = page.evaluate(SIZES, "log-pages")
    assert len(sizes) > 2
    assert max(sizes) < 500_000
    log.unlink()


def test_text_from_outside_is_only_text_in_every_view(server: RunningServer, opener: Opener) -> None:
    evil = {"authorization": "Bearer evil-secret"}
    body = {"model": EVIL_MODEL, "messages": [{"role": "user", "content": EVIL}]}
    form = {"model": (None, EVIL_MODEL), "image": (f"{EVIL}.png", b"\x1b[31mno image")}
    job = server.post("/jobs/submit/chat", body, headers=evil).json()["job_id"]
    assert server.post("/v1/vision/ocr", files=form, headers=evil).status_code == 400
    seen = {
        "now": (EVIL_MODEL,),
        "models?configured=yes": (EVIL_MODEL,),
        f"models/{quote(EVIL_MODEL, safe='')}": (EVIL_MODEL,),
        "jobs": (EVIL, EVIL_MODEL),
        f"jobs/{job}": (EVIL, EVIL_MODEL),
        "requests": (EVIL, EVIL_MODEL),
        f"logs/{quote(EVIL_MODEL, safe='')}": (),
        f"logs/gateway?search={quote('<svg')}": (EVIL_MODEL,),
        "keys": (EVIL,),
        "configuration": (),
        f"playground/chat?model={quote(EVIL_MODEL, safe='')}": (),
    }
    window = opener(key=ADMIN)
    window.allow_failed_requests = True  # a model may have no log yet
    for view, texts in seen.items():
        page = window.open(view)
        for text in texts:
            expect(page.locator("body")).to_contain_text(text)
        check_text_stays_text(page)
    page = window.open("now")
    page.get_by_role("button", name=EVIL_MODEL, exact=True).click()
    expect(page.get_by_role("dialog", name=EVIL_MODEL)).to_contain_text(EVIL_MODEL)
    check_text_stays_text(page)
    page.keyboard.press("Escape")
    page = window.open("jobs")
    page.get_by_role("button", name=f"Run {job} again").click()
    expect(page.get_by_label("Request, as JSON")).to_have_value(re.compile("<script>window.hacked=1</script>"))
    check_text_stays_text(page)


def test_keys_are_made_changed_and_revoked(server: RunningServer, opener: Opener) -> None:
    window = opener(key=ADMIN)
    page = window.open("keys")
    rows = page.get_by_role("list", name="Keys").get_by_role("listitem")
    expect(rows).to_have_count(2)
    expect(rows.last).to_contain_text(EVIL)
    expect(page.get_by_role("button", name="Revoke boss")).to_be_disabled()
    page.get_by_role("button", name="Make a key").click()
    expect(page.get_by_label("Name")).to_be_focused()
    page.get_by_label("Name").fill("my-app")
    page.get_by_label("Rate limit").fill("often")
    window.allow_failed_requests = True  # the limit is not valid
    page.get_by_label("Name").press("Enter")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("60/minute")
    window.check_accessible()
    page.get_by_label("Rate limit").fill("60/minute")
    page.get_by_label("Name").press("Enter")
    made = page.get_by_label("The new key").inner_text()
    mine = rows.filter(has_text="my-app")
    expect(page.get_by_role("button", name="Copy")).to_be_focused()  # another Enter does not close the dialog
    assert server.get("/v1/models", headers={"authorization": f"Bearer {made}"}).status_code == 200
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("button", name="Make a key")).to_be_focused()
    expect(mine).to_contain_text("60/minute")
    assert made not in page.content()
    page.get_by_role("button", name="Change my-app").click()
    page.get_by_label("Rate limit").fill("")
    page.get_by_label("May administer").check()
    page.get_by_role("button", name="Save").click()
    expect(mine).to_contain_text("no rate limit")
    expect(mine).to_contain_text("admin")
    page.get_by_role("button", name="Revoke my-app").click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(rows).to_have_count(2)
    assert server.get("/v1/models", headers={"authorization": f"Bearer {made}"}).status_code == 401
    check_text_stays_text(page)


def test_configuration_is_checked_compared_and_saved(server: RunningServer, opener: Opener) -> None:
    window = opener(key=ADMIN)
    page = window.open("configuration")
    editor = page.get_by_label("The configuration file")
    expect(editor).not_to_have_value("")
    text = editor.input_value()
    assert "(hidden)" in text
    assert "sha256" not in page.content()
    save = page.get_by_role("button", name="Compare and save")
    expect(save).to_be_disabled()
    editor.fill(text.replace("engine: fake", "engine: fka", 1))
    problem = page.get_by_role("button", name="unknown engine 'fka'")
    line = 1 + text.splitlines().index("- id: m")
    expect(problem).to_contain_text(f"Line {line}")
    problem.click()
    eventually("the wrong entry is not selected", lambda: page.evaluate("getSelection().toString()") == "- id: m")
    expect(save).to_be_disabled()
    window.check_accessible()
    editor.fill(text.replace("- id: m\n", f"- id: second\n  engine: fake\n  aliases: ['{EVIL_MODEL}2']\n- id: m\n"))
    expect(page.get_by_text("This can be saved.")).to_be_visible()
    save.click()
    expect(page.get_by_label("The difference")).to_contain_text("+- id: second")
    page.get_by_role("button", name="Save", exact=True).click()
    expect_said(page, "Saved, and in force.")
    models = server.get("/v1/models", headers=HEADERS).json()["data"]
    assert "second" in [model["id"] for model in models]
    check_text_stays_text(page)


def test_an_edit_of_another_editor_is_not_overwritten(server: RunningServer, opener: Opener) -> None:
    window = opener(key=ADMIN)
    window.allow_failed_requests = True
    page = window.open("configuration")
    editor = page.get_by_label("The configuration file")
    editor.fill(f"{editor.input_value()}\n# mine\n")
    expect(page.get_by_text("This can be saved.")).to_be_visible()
    theirs = server.config.read_text() + "# theirs\n"
    server.config.write_text(theirs)
    page.get_by_role("button", name="Compare and save").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("has changed since you read it")
    assert server.config.read_text() == theirs
    page.get_by_role("button", name="Discard my changes and load the file").click()
    expect(editor).to_have_value(re.compile("# theirs"))
