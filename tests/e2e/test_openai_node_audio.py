"""Speech and transcriptions with OpenAI's Node SDK, against real engines with tiny weights."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import wave
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed.server import RunningServer
from tests.conftest import Models
from tests.support.client_environments import NEEDS_NODE, node_folder_with_packages
from tests.support.recordings import wav

SECONDS = 9
RATE = 16_000
SDKS_RATE = 24_000
"""Of the samples that OpenAI's API sends as `pcm`."""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(NEEDS_NODE, reason="node and npm are not on this machine; install nodejs to test the Node SDK"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, models: Models) -> dict[str, Any]:
    """What the script printed."""
    folder = tmp_path_factory.mktemp("audio")
    recording = folder / "recording.wav"
    recording.write_bytes(wav(SECONDS))
    voices = {"id": "tts-1", "engine": "vits", "source": str(models("vits_speakers")), "options": {"threads": 1}}
    ears = {"id": "whisper-1", "engine": "whisper", "source": str(models("whisper"))}
    entries = [voices, {**ears, "options": {"threads": 1, "fallback_temperatures": []}}]
    with RunningServer(folder / "house", entries) as server:
        command = ["node", "audio.mjs", f"{server.url}/v1", str(recording)]
        scripts = node_folder_with_packages(Path(__file__).parent / "node")
        done = subprocess.run(command, cwd=scripts, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_text_is_read_aloud_whole_and_streamed(results: dict[str, Any]) -> None:
    spoken, streamed = results["spoken"], results["streamedSpeech"]
    assert spoken["type"] == "audio/wav"
    content = base64.b64decode(spoken["file"])
    with wave.open(io.BytesIO(content)) as file:
        assert file.getframerate() == RATE
    assert len(content) > RATE // 2
    assert streamed["type"].startswith("audio/")
    assert streamed["bytes"] > SDKS_RATE // 2


def test_recordings_are_transcribed_in_every_form(results: dict[str, Any]) -> None:
    whole, verbose, srt = (results["transcribed"][form] for form in ("whole", "verbose", "srt"))
    assert whole["text"]
    assert (verbose["text"], verbose["language"], verbose["duration"]) == (whole["text"], "de", SECONDS)
    assert "".join(segment["text"] for segment in verbose["segments"]) == whole["text"]
    assert verbose["words"]
    assert srt.count("-->") == len(verbose["segments"])


def test_streamed_transcription_adds_up_to_the_whole(results: dict[str, Any]) -> None:
    *deltas, done = results["events"]
    assert {event["type"] for event in deltas} == {"transcript.text.delta"}
    assert done["type"] == "transcript.text.done"
    assert "".join(event["delta"] for event in deltas) == done["text"] == results["transcribed"]["whole"]["text"]


def test_speech_can_be_sent_back_for_translation(results: dict[str, Any]) -> None:
    assert results["translated"] == "string"


def test_errors_are_the_sdks_own_and_name_the_field(results: dict[str, Any]) -> None:
    assert results["refusals"] == [
        {"isBadRequest": True, "param": "response_format"},
        {"isBadRequest": True, "param": "language"},
    ]
