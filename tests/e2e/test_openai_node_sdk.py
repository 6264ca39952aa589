"""OpenAI's Node SDK against a real server."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scripts.testbed.server import RunningServer
from tests.support.client_environments import NEEDS_NODE, node_folder_with_packages

FOLDER = Path(__file__).parent / "node"

pytestmark = pytest.mark.skipif(
    NEEDS_NODE, reason="node and npm are not on this machine; install nodejs to test with the Node SDK"
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script printed: the answers of a server with one model."""
    image = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(image, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(image.getvalue()).decode()
    entry = {"id": "org/fake", "engine": "fake"}
    with RunningServer(tmp_path_factory.mktemp("node"), [entry]) as server:
        done = subprocess.run(
            ["node", "ask.mjs", f"{server.url}/v1", uri],
            cwd=node_folder_with_packages(FOLDER),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_lists_and_retrieves_models(results: dict[str, Any]) -> None:
    assert results["models"] == {"ids": ["org/fake"], "one": "org/fake"}


def test_streamed_chat_equals_whole_answer(results: dict[str, Any]) -> None:
    assert results["whole"]["text"]
    assert results["whole"]["reason"] == "stop"
    assert len(results["streamed"]["pieces"]) > 1
    assert "".join(results["streamed"]["pieces"]) == results["whole"]["text"]
    assert results["streamed"]["tokens"] == results["whole"]["tokens"] > 0


def test_base64_embeddings_equal_plain_ones(results: dict[str, Any]) -> None:
    packed, plain = results["vectors"]["packed"], results["vectors"]["plain"]
    assert len(packed) == 2
    assert packed[0] != packed[1]
    assert [pytest.approx(vector, abs=1e-6) for vector in packed] == plain


def test_images_have_the_requested_size(results: dict[str, Any]) -> None:
    assert len(results["images"]) == 2
    with Image.open(io.BytesIO(base64.b64decode(results["images"][0]))) as image:
        assert image.size == (64, 32)


def test_error_is_raised_as_the_sdks_own_class(results: dict[str, Any]) -> None:
    assert results["refusal"]["isNotFound"]
    assert results["refusal"]["code"] == "model_not_found"
    assert "Available: org/fake" in results["refusal"]["message"]
