"""The client's functions: how images are encoded, what is sent, how arrays and errors are read."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

import client
from client import ServerError
from tests.support.odd_images import drawing, encoded

DEPTH = np.arange(6, dtype="<f4").reshape(2, 3)
CAMERA = {"fx": 1000.0, "fy": 1000.0, "cx": 640.0, "cy": 480.0}


class Recorder(BaseHTTPRequestHandler):
    """Answers every request, and keeps the last one."""

    last: ClassVar[dict[str, Any]] = {}
    status = 200
    answer: ClassVar[Any] = {}

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        type(self).last = {"path": self.path, "key": self.headers.get("authorization"), "body": body}
        content = json.dumps(self.answer).encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Recorder.status, Recorder.answer = 200, {}
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_images_may_be_files_bytes_pillow_or_opencv(tmp_path: Path) -> None:
    content, image = encoded(drawing()), drawing()
    path = tmp_path / "image.png"
    path.write_bytes(content)
    for source in (path, str(path), content):
        assert base64.b64decode(client.encode_image(source)) == content
    bgr = np.asarray(image)[..., ::-1]
    for source in (image, bgr):
        assert (np.asarray(opened(client.encode_image(source))) == np.asarray(image)).all()
    assert opened(client.encode_image(np.zeros((4, 5), np.uint8))).size == (5, 4)
    with pytest.raises(ValueError, match="convert it to uint8"):
        client.encode_image(np.zeros((4, 5, 3)))


def test_defaults_are_those_of_the_api(url: str) -> None:
    model = {"encoder": "vitl", "dataset": "hypersim", "model_input_size": 518}
    client.predict_pointcloud("aGk=", CAMERA, url)
    assert Recorder.last == {
        "path": "/pc",
        "key": None,
        "body": {"image": "aGk=", "camera_intrinsics": CAMERA, "max_depth": 1.0, **model},
    }
    client.predict_metric_depth(image="aGk=", base_url=url, max_depth=20.0, api_key="sk-1")
    assert Recorder.last["key"] == "Bearer sk-1"
    assert Recorder.last["body"] == {"image": "aGk=", "max_depth": 20.0, **model}
    client.predict_relative_depth(image="aGk=", base_url=url, encoder="vits", dataset="vkitti", model_input_size=252)
    assert Recorder.last["path"] == "/rel_depth"
    assert Recorder.last["body"] == {
        "image": "aGk=", "encoder": "vits", "dataset": "vkitti", "model_input_size": 252,
    }  # fmt: skip
    Recorder.answer = {"status": "healthy"}
    assert client.get_health(url, api_key="sk-1") == {"status": "healthy"}
    assert Recorder.last == {"path": "/health", "key": "Bearer sk-1", "body": None}


def test_arrays_are_float32_and_may_be_changed() -> None:
    text = base64.b64encode(DEPTH.tobytes()).decode()
    for decode in (client.decode_depth_map, client.decode_pointcloud):
        decoded = decode(text, [2, 3])
        assert (decoded == DEPTH).all()
        decoded[0, 0] = 7


def test_errors_say_what_the_server_says(url: str) -> None:
    Recorder.status, Recorder.answer = 401, {"error": {"message": "no key", "code": "invalid_api_key"}}
    with pytest.raises(ServerError, match="no key") as error:
        client.get_health(url)
    assert (error.value.status, error.value.code) == (401, "invalid_api_key")
    Recorder.status, Recorder.answer = 502, "bad gateway"
    with pytest.raises(ServerError, match="bad gateway"):
        client.get_health(url)
    with pytest.raises(ServerError, match="cannot be reached"):
        client.get_health("http://127.0.0.1:9")


def test_servers_are_read_by_name(tmp_path: Path) -> None:
    assert client.load_servers()["local"].base_url == "http://localhost:8000"
    path = tmp_path / "servers.yaml"
    path.write_text("""depth-anything-v2-secure:
  base_url: "https://your-secure-server:8000"
  api_key: "sk-your-actual-api-key-here"
  model: "depth-anything-v2"
  description: "Secure server with authentication"
""")
    server = client.load_servers(path)["depth-anything-v2-secure"]
    assert (server.base_url, server.api_key) == ("https://your-secure-server:8000", "sk-your-actual-api-key-here")
    for text, words in (("x: {}", "x needs a `base_url`"), ("x: {base_url: u, port: 1}", "'port'"), ("[1]", "a name")):
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            client.load_servers(path)


def test_client_imports_no_model_library() -> None:
    program = (
        "import sys, client; print({'torch', 'transformers', 'fastapi', 'gateway', 'contract'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
