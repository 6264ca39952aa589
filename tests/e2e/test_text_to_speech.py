"""Texts read aloud by the whole server: OpenAI's SDK, our clients, the command, jobs, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from client import AsyncClient, Client
from contract.tasks.speech import MEDIA_TYPES
from scripts.testbed.server import RunningServer, eventually
from tests.conftest import Models
from workers.toolkit.audio_reader import AudioReader

TEXT = "Hello there. How are you? I am fine"
RATE = 16_000
OPTIONS = {"threads": 1, "voices": {"nova": "2"}, "max_characters": 99_000}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Iterator[RunningServer]:
    voices = {"engine": "vits", "source": str(models("vits_speakers"))}
    entry = {**voices, "id": "voices", "aliases": ["tts-1"], "options": OPTIONS}
    with RunningServer(tmp_path_factory.mktemp("speech"), [entry]) as running:
        yield running


@pytest.fixture(scope="module")
def sdk(server: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def leases(server: RunningServer) -> list[int]:
    return [worker["leases"] for worker in server.workers("voices")]


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "tts-1", "input": TEXT, "voice": "1", "seed": 3, **fields}


@pytest.fixture(scope="module")
def pcm(server: RunningServer) -> bytes:
    """The speech of `body()`."""
    answer = server.request("POST", "/v1/audio/speech", json=body(response_format="pcm"))
    assert answer.status_code == 200, answer.text
    assert len(answer.content) > 10_000
    return answer.content


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_sdk_streams_every_format(sdk: OpenAI, pcm: bytes, name: Any) -> None:
    wanted = {"model": "tts-1", "input": TEXT, "voice": "1", "response_format": name, "extra_body": {"seed": 3}}
    with sdk.audio.speech.with_streaming_response.create(**wanted) as answer:
        assert answer.headers["content-type"] == MEDIA_TYPES[name]
        assert "content-length" not in answer.headers
        content = b"".join(answer.iter_bytes())
    seconds = len(pcm) / 2 / 24_000
    if name == "pcm":
        assert content == pcm
    else:
        samples = AudioReader(content, RATE).window(2 * seconds)
        assert len(samples) / RATE == pytest.approx(seconds, abs=0.2)


def test_sdk_reads_a_whole_file_and_events(sdk: OpenAI, tmp_path: Path) -> None:
    answer = sdk.audio.speech.create(model="tts-1", input="Hello", voice={"id": "nova"}, response_format="wav")
    answer.write_to_file(tmp_path / "hello.wav")
    with wave.open(str(tmp_path / "hello.wav")) as file:
        assert file.getframerate() == RATE
        assert file.getnframes() * 2 + 100 > len(answer.content) > file.getnframes() * 2


def test_openais_voices_and_instructions_are_warned_of(server: RunningServer) -> None:
    fields = body(voice="shimmer", instructions="Whisper.", langauge="en")
    answer = server.request("POST", "/v1/audio/speech", json=fields)
    warnings = " ".join(json.loads(answer.headers["x-enginehouse-warnings"]))
    for words in ("no voice `shimmer`", "`instructions` had no effect", "`langauge` is not a known field"):
        assert words in warnings


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"voice": "alice"}, "voice"),
        ({"input": " "}, "input"),
        ({"input": "42"}, "input"),
        ({"input": "a" * 100_001}, "input"),
        ({"input": "a" * 99_001}, "input"),
        ({"response_format": "midi"}, "response_format"),
        ({"speed": 5}, "speed"),
        ({"extra_body": {"language": "de"}}, "language"),
    ],
)
def test_wrong_fields_are_named(sdk: OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        sdk.audio.speech.create(**{"model": "tts-1", "input": "Hello", "voice": "0", **fields})
    assert caught.value.param == param, caught.value.message


def test_client_speaks_whole_and_in_pieces(server: RunningServer, pcm: bytes) -> None:
    with Client(server.url) as client:
        assert client.speak(TEXT, voice="1", response_format="pcm", seed=3) == pcm
        pieces = list(client.stream_speech(TEXT, voice="1", response_format="pcm", seed=3))
        assert client.voices() == client.voices("tts-1") == ["0", "1", "2", "nova"]
    assert b"".join(pieces) == pcm
    assert len(pieces) == 3


async def test_async_client_speaks_too(server: RunningServer, pcm: bytes) -> None:
    async with AsyncClient(server.url) as client:
        assert await client.speak(TEXT, voice="1", response_format="pcm", seed=3) == pcm
        assert (
            b"".join([piece async for piece in client.stream_speech(TEXT, voice="1", response_format="pcm", seed=3)])
            == pcm
        )


def test_command_writes_the_format_of_its_file(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "hello.flac"
    done = subprocess.run(
        [sys.executable, "-m", "command", "--url", server.url, "run", "voices", "Hello there", "--out", str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert file.read_bytes().startswith(b"fLaC")


def test_job_keeps_the_file(server: RunningServer, pcm: bytes) -> None:
    submitted = server.request("POST", "/jobs/submit/speech", json=body(response_format="pcm"))
    assert submitted.status_code == 202, submitted.text
    with Client(server.url) as client:
        last = list(client.follow_job(submitted.json()["job_id"]))[-1]
    assert last.status == "completed", last
    result = server.request("GET", f"/jobs/{last.job_id}/result")
    assert result.headers["content-type"] == "audio/pcm"
    assert result.content == pcm


def test_job_that_wants_events_is_refused_by_that_field(server: RunningServer) -> None:
    answer = server.request("POST", "/jobs/submit/speech", json=body(stream_format="sse"))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == "stream_format"


def test_voices_have_the_form_that_open_webui_reads(server: RunningServer) -> None:
    answer = server.request("GET", "/v1/audio/voices").json()
    assert {voice["id"]: voice["name"] for voice in answer["voices"]} == {
        name: name for name in ("0", "1", "2", "nova")
    }
    assert {voice["model"] for voice in answer["voices"]} == {"voices"}


def test_client_that_leaves_ends_the_speech(server: RunningServer) -> None:
    text = "One sentence. " * 7000  # takes minutes
    with server.stream("/v1/audio/speech", body(input=text, response_format="pcm")) as answer:
        pieces = answer.iter_bytes()  # without a name, it would end the request
        assert next(pieces)
        assert answer.status_code == 200, answer.read()
        eventually("it has a lease", lambda: leases(server) == [1])
    eventually("its lease has ended", lambda: leases(server) == [0])


def test_page_plays_and_saves_speech(server: RunningServer) -> None:
    from tests.e2e.ui.browsing import expect, open_window
    from tests.e2e.ui.playground_page import open_tab, run

    with open_window(server.url) as window:
        page = open_tab(window, "speech", "voices")
        page.get_by_label("Input *").fill("hello engine house")
        answer = run(page)
        sound = answer.locator("audio")
        expect(sound).to_have_js_property("readyState", 4)
        assert sound.evaluate("(audio) => audio.duration") > 0.1
        with page.expect_download() as download:
            answer.get_by_role("button", name="Save").click()
        assert download.value.suggested_filename.startswith("answer.")
        window.check_part(".task-output")
