"""The official Node SDK, unmodified but for its base URL, against a real house."""

from __future__ import annotations

import base64
import fcntl
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scripts.testbed.server import House

FOLDER = Path(__file__).parent / "node"
PIN = json.loads((FOLDER / "package.json").read_text())["dependencies"]["openai"]

pytestmark = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")),
    reason="node and npm are not on this machine; install nodejs to test with the Node SDK",
)


@pytest.fixture(scope="module")
def sdk() -> Path:
    """The SDK in its folder, installed once: it has no dependencies, so its pin says all."""
    installed = FOLDER / "node_modules" / "openai" / "package.json"
    with (FOLDER / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be installing it
        if not installed.exists() or json.loads(installed.read_text())["version"] != PIN:
            command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=100, check=False)
            assert done.returncode == 0, done.stderr
    return FOLDER


@pytest.fixture(scope="module")
def said(sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script was told by a house of one model."""
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(picture, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
    entry = {"id": "org/fake", "engine": "fake"}
    with House(tmp_path_factory.mktemp("node"), [entry]) as house:
        done = subprocess.run(
            ["node", "ask.mjs", f"{house.url}/v1", uri],
            cwd=sdk,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_models(said: dict[str, Any]) -> None:
    assert said["models"] == {"ids": ["org/fake"], "one": "org/fake"}


def test_chat_with_a_picture_whole_and_streamed_is_the_same(said: dict[str, Any]) -> None:
    assert said["whole"]["text"]
    assert said["whole"]["reason"] == "stop"
    assert len(said["streamed"]["pieces"]) > 1
    assert "".join(said["streamed"]["pieces"]) == said["whole"]["text"]
    assert said["streamed"]["tokens"] == said["whole"]["tokens"] > 0


def test_embeddings_are_the_same_packed_and_plain(said: dict[str, Any]) -> None:
    packed, plain = said["vectors"]["packed"], said["vectors"]["plain"]
    assert len(packed) == 2
    assert packed[0] != packed[1]
    assert [pytest.approx(vector, abs=1e-6) for vector in packed] == plain


def test_images(said: dict[str, Any]) -> None:
    assert len(said["pictures"]) == 2
    with Image.open(io.BytesIO(base64.b64decode(said["pictures"][0]))) as picture:
        assert picture.size == (64, 32)


def test_an_error_is_the_sdks_own(said: dict[str, Any]) -> None:
    assert said["refusal"]["isNotFound"]
    assert said["refusal"]["code"] == "model_not_found"
    assert "Available: org/fake" in said["refusal"]["message"]
