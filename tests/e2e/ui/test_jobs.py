"""The view Jobs of a running server: submitted, in progress, cancelled, with a result, and run again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed.server import RunningServer, fake_model
from tests.e2e.ui.browsing import expect
from tests.e2e.ui.conftest import Opener
from tests.support.sample_images import png

CHAT = {"model": "m", "messages": [{"role": "user", "content": "<img src=x onerror=alert(1)> hello"}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    models = [
        fake_model("m", memory_gb=0.1),
        fake_model("gated", gate=str(folder / "gate"), memory_gb=0.1),
        fake_model("broken", fail_at_load="<script>alert(2)</script> no weights", memory_gb=0.1),
    ]
    with RunningServer(folder / "server", models) as server:
        yield server


def submit(server: RunningServer, **fields: Any) -> str:
    return str(server.post("/jobs/submit/chat", {**CHAT, **fields}).json()["job_id"])


def row_of(page: Any, text: str) -> Any:
    return page.get_by_role("listitem").filter(has_text=text)


def test_submits_a_job_shows_its_result_and_runs_it_again(opener: Opener) -> None:
    window = opener()
    page = window.open("jobs")
    expect(page.get_by_text("No jobs", exact=True)).to_be_visible()
    page.get_by_role("button", name="New job …").click()
    page.get_by_label("Task").select_option("chat")
    expect(page.get_by_label("Request, as JSON")).to_have_value(re.compile('"messages"'))
    page.get_by_label("Request, as JSON").fill(json.dumps(CHAT))
    page.get_by_role("button", name="Submit").click()
    row = row_of(page, "completed")
    expect(row).to_have_count(1)
    row.get_by_role("link", name="chat").click()
    result = page.get_by_role("dialog")
    expect(result).to_contain_text("onerror=alert(1)")
    for name in ("Created", "Began"):
        fact = result.locator("dl.facts div").filter(has_text=name)
        expect(fact.get_by_role("definition")).to_have_text(re.compile(r"^(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d$"))
    with page.expect_download() as download:
        result.get_by_role("link", name="Save the result").click()
    assert "hello" in json.loads(Path(download.value.path()).read_text())["choices"][0]["message"]["content"]
    window.check_accessible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("^Run .* again$")).click()
    expect(page.get_by_label("Request, as JSON")).to_have_value(json.dumps(CHAT))
    page.get_by_role("button", name="Submit").click()
    expect(row_of(page, "completed")).to_have_count(2)


def test_runs_jobs_again_that_other_clients_submitted(opener: Opener, server: RunningServer) -> None:
    form = {"model": (None, "m"), "image": ("<img src=x onerror=alert(3)>.png", png(8, 8))}
    ids = [submit(server), str(server.post("/jobs/submit/ocr?a=1", files=form).json()["job_id"])]
    page = opener().open("jobs")
    for id_ in ids:
        expect(row_of(page, id_)).to_contain_text("completed")
    before = page.get_by_role("listitem").count()
    page.get_by_role("button", name=f"Run {ids[0]} again").click()
    text = page.get_by_label("Request, as JSON")
    assert json.loads(text.input_value()) == CHAT
    text.fill(json.dumps({**CHAT, "messages": [{"role": "user", "content": "changed"}]}))
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("button", name=f"Run {ids[1]} again").click()
    expect(page.get_by_role("dialog")).to_contain_text(re.compile(r"sent as it was: .* of multipart/form-data"))
    expect(page.get_by_role("dialog")).to_contain_text("?a=1")
    page.get_by_role("button", name="Submit").click()
    expect(row_of(page, "completed")).to_have_count(before + 2)


def test_columns_of_different_jobs_are_below_each_other(opener: Opener, server: RunningServer) -> None:
    ended, running = submit(server), submit(server, model="gated")
    page = opener().open("jobs")
    expect(row_of(page, ended)).to_contain_text("completed")
    expect(row_of(page, running)).to_contain_text("running since")
    lefts = page.locator(".job-progress").evaluate_all(
        "(cells) => cells.map((cell) => cell.getBoundingClientRect().left)"
    )
    assert len(lefts) >= 2
    assert len(set(lefts)) == 1
    page.get_by_role("button", name=f"Cancel {running}").click()
    expect(row_of(page, running)).to_contain_text("cancelled")
    page.get_by_role("button", name=f"Remove {running}").click()
    expect(row_of(page, running)).to_have_count(0)


def test_cancels_a_job_that_runs_and_removes_it(opener: Opener, server: RunningServer, folder: Path) -> None:
    id_ = submit(server, model="gated")
    page = opener().open("jobs")
    row = row_of(page, id_)
    expect(row).to_contain_text("running")
    page.get_by_role("button", name=f"Cancel {id_}").click()
    expect(row).to_contain_text("cancelled")
    page.get_by_label("Status").select_option("cancelled")
    expect(page.get_by_role("listitem")).to_have_count(1)
    page.get_by_role("button", name=f"Remove {id_}").click()
    expect(page.get_by_text("No cancelled jobs")).to_be_visible()


def test_error_of_a_job_is_only_text(opener: Opener, server: RunningServer) -> None:
    window = opener()
    page = window.open("jobs?status=failed")
    page.on("dialog", lambda dialog: window.messages.append(f"ran: {dialog.message}"))
    id_ = submit(server, model="broken")
    expect(row_of(page, id_)).to_contain_text("<script>alert(2)</script> no weights")
