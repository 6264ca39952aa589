"""Texts read aloud by the whole server: OpenAI's SDK, our clients, the command, jobs, and what is refused."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import wave
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx2
import pytest
from openai import BadRequestError, OpenAI
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from client import AsyncClient, Client
from contract.tasks.speech import MEDIA_TYPES
from scripts.testbed.server import ROOT, RunningServer, eventually
from tests.conftest import Models
from workers.toolkit.audio_reader import AudioReader

TEXT = "Hello there. How are you? I am fine"
RATE = 16_000
LONG = "One sentence. " * 7000
"""It takes minutes to speak."""
FORMS = ["sse", "audio"]
OPTIONS = {"threads": 1, "voices": {"nova": "2"}, "max_characters": 99_000}


class Usage(TypedDict):
    input_tokens: int
    output_tokens: int
    total_tokens: int


class Delta(TypedDict):
    type: Literal["speech.audio.delta"]
    audio: str


class Done(TypedDict):
    type: Literal["speech.audio.done"]
    usage: Usage


Event = dict[str, Any]
EVENT: TypeAdapter[Any] = TypeAdapter(Annotated[Delta | Done, Field(discriminator="type")])
"""An event of the stream as OpenAI documents it: its SDK for Python has no types for them."""


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


@pytest.mark.parametrize("stream_format", FORMS)
def test_client_that_leaves_ends_the_speech(server: RunningServer, stream_format: str) -> None:
    with server.stream("/v1/audio/speech", body(input=LONG, stream_format=stream_format)) as answer:
        pieces = answer.iter_bytes()  # without a name, it would end the request
        assert next(pieces)
        assert answer.status_code == 200, answer.read()
        eventually("it has a lease", lambda: leases(server) == [1])
    eventually("its lease has ended", lambda: leases(server) == [0])


def events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a stream, each as OpenAI documents it; the last one may be an error. The end is `[DONE]`."""
    for line in lines:
        data = line.removeprefix("data: ")
        if data not in {line, "[DONE]"}:
            event = json.loads(data)
            yield event if "error" in event else EVENT.validate_python(event)


def test_events_hold_the_file_and_end_with_the_usage(server: RunningServer, pcm: bytes) -> None:
    with server.stream("/v1/audio/speech", body(response_format="pcm", stream_format="sse")) as answer:
        *deltas, done = events(answer.iter_lines())
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == pcm
    assert [event["type"] for event in deltas] == ["speech.audio.delta"] * 3
    assert done["type"] == "speech.audio.done"


def test_events_of_a_dying_worker_end_in_an_error(server: RunningServer) -> None:
    with server.stream("/v1/audio/speech", body(input=LONG, stream_format="sse")) as answer:
        read = events(answer.iter_lines())
        assert next(read)["type"] == "speech.audio.delta"
        kill_worker(server)
        *deltas, last = read
    assert {event.get("type") for event in deltas} <= {"speech.audio.delta"}
    assert last["error"]["code"] == "worker_died"


def test_file_of_a_dying_worker_is_cut_off(server: RunningServer) -> None:
    with server.stream("/v1/audio/speech", body(input=LONG, response_format="pcm")) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces)
        kill_worker(server)
        with pytest.raises(httpx2.RemoteProtocolError):
            deque(pieces, 0)


def kill_worker(server: RunningServer) -> None:
    [worker] = eventually("it has a lease", lambda: [one for one in server.workers("voices") if one["leases"]])
    os.kill(worker["pid"], signal.SIGKILL)


@pytest.mark.parametrize("stream_format", FORMS)
@pytest.mark.parametrize("text", ["...", "42", "\u200b"])
def test_text_of_nothing_to_say_is_refused(server: RunningServer, text: str, stream_format: str) -> None:
    answer = server.request("POST", "/v1/audio/speech", json=body(input=text, stream_format=stream_format))
    if answer.headers["content-type"] == "application/json":
        assert answer.status_code == 400
        refusal = answer.json()
    else:  # the stream was opened while the worker started
        [refusal] = events(answer.text.splitlines())
    assert refusal["error"]["param"] == "input"


@pytest.mark.parametrize("stream_format", FORMS)
def test_sentences_of_nothing_to_say_are_left_out(server: RunningServer, stream_format: str) -> None:
    text = "... Hello there. 42. ..."
    wanted = body(input=text, response_format="pcm", stream_format=stream_format)
    answer = server.request("POST", "/v1/audio/speech", json=wanted)
    assert answer.status_code == 200, answer.content
    if stream_format == "sse":
        *deltas, done = events(answer.text.splitlines())
        assert {event["type"] for event in deltas} == {"speech.audio.delta"}
        assert done["type"] == "speech.audio.done"
    else:
        assert len(answer.content) > 1000


def test_page_plays_and_saves_speech(server: RunningServer, tmp_path: Path) -> None:
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
        page.get_by_text("The same request in code").click()
        expect(page.get_by_label("The request as curl")).to_contain_text("-o speech.mp3")
        page.get_by_role("button", name="Python", exact=True).click()
        code = page.get_by_label("The request as Python").inner_text()
        subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
        )
        assert len((tmp_path / "speech.mp3").read_bytes()) > 500
        window.check_part(".task-output")
