"""Recordings through the whole server: OpenAI's SDK, our client, the command, jobs, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, BadRequestError, OpenAI
from openai.types.audio import TranscriptionStreamEvent
from pydantic import TypeAdapter

from client import Client
from scripts.testbed.server import RunningServer, eventually
from tests.conftest import Models
from tests.support.doc_examples import blocks, run_example
from tests.support.recordings import encoded, wav

SECONDS = 9
TRANSCRIPT: TypeAdapter[Any] = TypeAdapter(TranscriptionStreamEvent)
OPTIONS = {"threads": 1, "fallback_temperatures": []}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Iterator[RunningServer]:
    entry = {"id": "ears", "engine": "whisper", "source": str(models("whisper")), "options": OPTIONS}
    silence = {**entry, "id": "silence", "source": str(_wordless(models("whisper"), tmp_path_factory.mktemp("models")))}
    entries = [{**entry, "aliases": ["whisper-1", "whisper"]}, silence]
    with RunningServer(tmp_path_factory.mktemp("speech"), entries) as running:
        yield running


def _wordless(model: Path, folder: Path) -> Path:
    """A copy of a Whisper model that writes times without words, as the model does for silence."""
    copy = shutil.copytree(model, folder / "wordless")
    file = copy / "generation_config.json"
    settings = json.loads(file.read_text())
    words = range(settings["no_timestamps_token_id"])
    settings["suppress_tokens"] = sorted({*settings["suppress_tokens"], *words} - {settings["eos_token_id"]})
    file.write_text(json.dumps(settings))
    return copy


@pytest.fixture(scope="module")
def sdk(server: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def text(sdk: OpenAI) -> str:
    """What the model understands."""
    answer = sdk.audio.transcriptions.create(model="whisper-1", file=("a.wav", wav(SECONDS)), language="de")
    assert answer.text
    return answer.text


def create(sdk: OpenAI, **fields: Any) -> Any:
    return sdk.audio.transcriptions.create(model="whisper-1", file=("a.wav", wav(SECONDS)), language="de", **fields)


def test_sdk_reads_every_format(sdk: OpenAI, text: str) -> None:
    verbose = create(sdk, response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert (verbose.text, verbose.language, verbose.duration) == (text, "de", SECONDS)
    assert "".join(segment.text for segment in verbose.segments) == text
    assert "".join(word.word for word in verbose.words) == text.replace(" ", "")
    assert create(sdk, response_format="text") == f"{text}\n"
    srt, vtt = create(sdk, response_format="srt"), create(sdk, response_format="vtt")
    assert srt.startswith("1\n00:00:0")
    assert re.search(r"\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}\n", srt)
    assert vtt.startswith("WEBVTT\n\n00:00:0")
    assert srt.count("-->") == vtt.count("-->") == len(verbose.segments)


def test_sdk_streams_the_text(sdk: OpenAI, text: str) -> None:
    events = _read(create(sdk, stream=True), lambda: None)
    assert [event.type for event in events[-2:]] == ["transcript.text.delta", "transcript.text.done"]
    assert "".join(event.delta for event in events[:-1]) == text
    assert events[-1].text == text


@pytest.fixture(scope="module")
def long_recording() -> bytes:
    """It has more windows than are read before a client leaves or a worker dies."""
    return encoded("flac", "flac", 600)


def _read(stream: Any, after: Callable[[], None]) -> list[Any]:
    """The events of a stream, each valid; `after` is called after the first."""
    read = []
    for event in stream:
        read.append(TRANSCRIPT.validate_python(event.to_dict()))
        if len(read) == 1:
            after()
    return read


def test_stream_of_silence_is_one_event_without_text(sdk: OpenAI) -> None:
    file = ("a.wav", wav(SECONDS))
    stream = sdk.audio.transcriptions.create(model="silence", file=file, stream=True, language="de")
    [done] = _read(stream, lambda: None)
    assert (done.type, done.text) == ("transcript.text.done", "")
    whole = sdk.audio.transcriptions.create(model="silence", file=file, response_format="verbose_json", language="de")
    assert (whole.text, whole.segments, whole.duration) == ("", [], SECONDS)
    assert sdk.audio.transcriptions.create(model="silence", file=file, response_format="srt", language="de") == ""


def test_stream_of_a_dying_worker_ends_in_an_error(
    server: RunningServer, sdk: OpenAI, text: str, long_recording: bytes
) -> None:
    assert text, "the worker has started"
    [worker] = server.workers("ears")
    stream = sdk.audio.transcriptions.create(model="ears", file=("a.flac", long_recording), stream=True, language="de")
    with stream, pytest.raises(APIError, match="died"):
        _read(stream, lambda: os.kill(worker["pid"], signal.SIGKILL))


def test_client_that_leaves_ends_the_transcription(server: RunningServer, sdk: OpenAI, long_recording: bytes) -> None:
    stream = sdk.audio.transcriptions.create(model="ears", file=("a.flac", long_recording), stream=True, language="de")
    with stream:
        assert TRANSCRIPT.validate_python(next(iter(stream)).to_dict()).type == "transcript.text.delta"
        assert [worker["leases"] for worker in server.workers("ears")] == [1]
    eventually("its lease has ended", lambda: [worker["leases"] for worker in server.workers("ears")] == [0])


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # OpenAI wants to end this API
def test_sdk_translates(sdk: OpenAI, text: str) -> None:
    answer = sdk.audio.translations.create(model="ears", file=("a.mp3", encoded("mp3", "libmp3lame", SECONDS)))
    assert answer.text
    assert answer.text != text


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "xx"}, "language"),
        ({"response_format": "docx"}, "response_format"),
        ({"response_format": "srt", "stream": True}, "stream"),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
        ({"temperature": 2}, "temperature"),
        ({"include": ["logprobs"]}, "include"),
    ],
)
def test_wrong_fields_are_named(sdk: OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        sdk.audio.transcriptions.create(model="ears", file=("a.wav", wav(1)), **fields)
    assert caught.value.param == param, caught.value.message


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"json": {"model": "ears"}}, "`file`"),
        ({"data": {"model": "ears"}, "files": {"file": ("a.wav", b"")}}, "`file`"),
        ({"data": {"model": "ears"}, "files": {"file": ("a.png", b"\x89PNG\r\n\x1a\n")}}, "no recording"),
        ({"json": {"model": "ears", "file": "http://127.0.0.1:9/a.mp3"}}, "Send the file itself"),
        ({"json": {"model": "ears", "file": "a"}}, "base64"),
    ],
)
def test_what_is_no_recording_is_refused(server: RunningServer, request_: dict[str, Any], sentence: str) -> None:
    answer = server.request("POST", "/v1/audio/transcriptions", **request_)
    assert answer.status_code == 400, answer.text
    assert sentence in answer.json()["error"]["message"]
    assert answer.json()["error"]["param"] == "file"


def test_client_and_command_transcribe(server: RunningServer, text: str, tmp_path: Path) -> None:
    file = tmp_path / "meeting.wav"
    file.write_bytes(wav(SECONDS))
    with Client(server.url) as client:
        spoken = client.transcribe(file, model="ears", language="de", words=True)
        translated = client.translate_speech(file, model="ears")
    assert (spoken.text, spoken.language, spoken.duration) == (text, "de", SECONDS)
    assert spoken.segments[0].start < spoken.segments[-1].end <= SECONDS
    assert "".join(word.word for word in spoken.words) == text.replace(" ", "")
    assert translated.text != text


def test_job_transcribes(server: RunningServer, text: str) -> None:
    form = {"model": "ears", "language": "de", "response_format": "text"}
    submitted = server.request("POST", "/jobs/submit/transcription", data=form, files={"file": ("a.wav", wav(SECONDS))})
    assert submitted.status_code == 202, submitted.text
    job = submitted.json()["job_id"]
    with Client(server.url) as client:
        last = list(client.follow_job(job))[-1]
    assert last.status == "completed", last
    result = server.request("GET", f"/jobs/{job}/result")
    assert result.headers["content-type"].startswith("text/plain")
    assert result.text == f"{text}\n"


def test_unknown_fields_are_warned_of_in_every_format(server: RunningServer) -> None:
    files, form = {"file": ("a.wav", wav(1))}, {"model": "ears", "langauge": "de"}
    plain = server.request("POST", "/v1/audio/transcriptions", data=form | {"response_format": "text"}, files=files)
    [warning] = json.loads(plain.headers["x-enginehouse-warnings"])
    assert "`langauge`" in warning
    whole = server.request("POST", "/v1/audio/transcriptions", data=form, files=files)
    assert whole.json()["warnings"] == [warning]


@pytest.mark.parametrize("language", ["bash", "python"])
def test_example_in_the_docs_runs(server: RunningServer, text: str, tmp_path: Path, language: str) -> None:
    (tmp_path / "meeting.mp3").write_bytes(wav(SECONDS))
    [block] = [block for block in blocks("docs/speech.md") if block.language == language and "meeting" in block.text]
    assert run_example(language, block.text, server.url, tmp_path).strip()


RECORD_AND_STOP_AT_ONCE = """(button) => {
  const stop = (_, observer) => {
    if (button.textContent.trim() !== "Stop recording") return;
    observer.disconnect();
    button.click();
  };
  new MutationObserver(stop).observe(button, { characterData: true, childList: true, subtree: true });
  button.click();
}"""


def test_page_takes_recordings_by_drop_and_microphone(server: RunningServer) -> None:
    from tests.e2e.ui.browsing import expect, open_window
    from tests.e2e.ui.playground_page import decoded, give, open_tab, run

    with open_window(server.url) as window:
        page = open_tab(window, "transcription", "ears")
        zone = page.locator(".drop-zone")
        give(zone, "drop", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"?"})
        expect(page.get_by_text("notes.txt is not a recording.")).to_be_visible()
        give(zone, "drop", {"name": "<svg onload=document.title=1>.wav", "mimeType": "audio/wav", "buffer": wav(1)})
        expect(zone.locator("audio")).to_have_attribute("aria-label", "<svg onload=document.title=1>.wav")
        page.get_by_role("button", name="Record", exact=True).evaluate(RECORD_AND_STOP_AT_ONCE)
        expect(zone.locator("audio")).to_have_attribute("aria-label", "recording.wav")
        expect(zone.locator("audio")).to_have_js_property("readyState", 4)  # the browser can play it
        page.get_by_text("More options").click()
        page.get_by_label("Response format").select_option("verbose_json")
        with page.expect_request("**/v1/audio/transcriptions") as sent:
            answer = run(page)
        assert decoded(sent.value.post_data_json["file"])[:4] == b"RIFF"
        expect(answer.locator(".answer-text")).to_be_visible()
        expect(answer.get_by_label("Segments").get_by_role("listitem").first).to_contain_text(
            re.compile(r"\d:\d\d\.\d\d")
        )
        window.check_part("main")


UNPLUGGED_LATER = """() => {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => (window.given = await ask(wanted));
}"""
UNPLUG = "() => window.given.getTracks().forEach((track) => track.stop())"


def test_page_keeps_recording_of_an_unplugged_microphone(server: RunningServer) -> None:
    from tests.e2e.ui.browsing import expect, open_window
    from tests.e2e.ui.playground_page import open_tab

    with open_window(server.url) as window:
        page = open_tab(window, "transcription", "ears")
        page.evaluate("() => (navigator.mediaDevices.getUserMedia = () => new Promise(() => {}))")
        page.get_by_role("button", name="Record", exact=True).click()
        page.get_by_role("button", name="Starting the microphone").click()  # gives up
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_visible()
        page.reload()
        page.evaluate(UNPLUGGED_LATER)
        page.get_by_role("button", name="Record", exact=True).click()
        stop = page.get_by_role("button", name="Stop recording")
        expect(stop).to_be_visible()
        page.evaluate(UNPLUG)
        stop.click()
        expect(page.locator(".drop-zone audio")).to_have_attribute("aria-label", "recording.wav")
