"""Recordings and speech in the playground, with real models and Chromium's test microphone."""

from __future__ import annotations

from tests.e2e.ui.browsing import OpenPage, expect
from tests.e2e.ui.playground.conftest import EVIL_NAME
from tests.e2e.ui.playground_page import decoded, give, open_tab, run
from tests.support.recordings import wav


def test_recordings_are_dropped_or_recorded_and_written_down(window: OpenPage) -> None:
    page = open_tab(window, "transcription", "listener")
    zone = page.locator(".drop-zone")
    give(zone, "drop", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"?"})
    expect(page.get_by_text("notes.txt is not a recording.")).to_be_visible()
    give(zone, "drop", {"name": f"{EVIL_NAME}.wav", "mimeType": "audio/wav", "buffer": wav(1)})
    expect(zone.locator("audio")).to_have_attribute("aria-label", f"{EVIL_NAME}.wav")
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_role("button", name="Stop recording").click()
    expect(zone.locator("audio")).to_have_attribute("aria-label", "recording.wav")
    expect(zone.locator("audio")).to_have_js_property("readyState", 4)  # the browser can play it
    page.get_by_text("More options").click()
    page.get_by_label("Response format").select_option("verbose_json")
    with page.expect_request("**/v1/audio/transcriptions") as sent:
        answer = run(page)
    assert decoded(sent.value.post_data_json["file"])[:4] == b"RIFF"
    expect(answer.locator(".answer-text")).to_be_visible()
    expect(answer.get_by_label("Segments").get_by_role("listitem").first).to_contain_text(" s")
    window.check_part("main")


def test_speech_is_played_and_saved(window: OpenPage) -> None:
    page = open_tab(window, "speech", "speaker")
    page.get_by_label("Input *").fill("hello engine house")
    answer = run(page)
    sound = answer.locator("audio")
    expect(sound).to_have_js_property("readyState", 4)
    assert sound.evaluate("(audio) => audio.duration") > 0.1
    with page.expect_download() as download:
        answer.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename.startswith("answer.")
    window.check_part(".task-output")
