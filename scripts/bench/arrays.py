"""The cost of sending a depth map to a client: as JSON lists, base64, PNG, raw bytes and npz."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from scripts.bench.measurement import Goal, Result, Setup, in_turns, ratio
from scripts.testbed.server import RunningServer

WIDTH, HEIGHT = 1024, 768
_TITLE = "Formats of a depth map"
_TEXT = f"""
One client requests the depth of an image of {WIDTH}x{HEIGHT} in each format and reads the answer into a numpy array.
The time includes waiting and decoding; "times faster" ignores the time of the model (`infer` of Server-Timing), which
is the same for all formats. The model is a Depth Anything V2 with a few thousand random weights, which sees the image
at 98x70. `encoding_format: float` requests JSON lists of numbers.
"""
_LISTS, _BYTES, _INT16, _NPZ = "JSON, lists", "raw bytes, float32", "raw bytes, 16 bits", "npz, float32"


@dataclass(frozen=True, slots=True)
class WireFormat:
    """How to request a format and how to read the array from an answer's headers and content."""

    read: Callable[[Any, bytes], Any]
    fields: dict[str, str]
    accept: str = "application/json"


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """One answer: its size in bytes, the seconds until it was an array, the model's share of them, and the array."""

    size: int
    seconds: float
    infer: float
    depth: Any


def measure(setup: Setup) -> Result:
    """Size and time of each format, in turns."""
    if missing := [name for name in ("transformers", "numpy") if importlib.util.find_spec(name) is None]:
        return Result(_TITLE, _TEXT, _goals({}, f"{', '.join(missing)} is not installed"))
    folder = setup.folder / "arrays"
    with depth_server(folder) as server, httpx2.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        image = photo()
        requests = {name: partial(_request, client, image, format_) for name, format_ in FORMATS.items()}
        for request in requests.values():
            request()  # the first one starts the model
        answers = in_turns(setup.rounds(7), requests)
    _check(answers)
    rows = [
        (
            name,
            f"{timed[0].size / 1e6:.2f} MB",
            f"{statistics.median(answer.seconds for answer in timed) * 1e3:,.0f} ms",
            f"{answers[_LISTS][0].size / timed[0].size:.1f} ×",
            f"{_faster(answers, name):.1f} ×",
        )
        for name, timed in answers.items()
    ]
    return Result(_TITLE, _TEXT, _goals(answers), ("format", "size", "time", "times smaller", "times faster"), rows)


def _goals(answers: dict[str, list[TimedAnswer]], why: str = "") -> list[Goal]:
    def smaller(name: str) -> float | None:
        return answers[_LISTS][0].size / answers[name][0].size if answers else None

    def goal(what: str, limit: float, value: float | None) -> Goal:
        return Goal(what, limit, value, " ×", at_least=True, why=why)

    return [
        goal("raw bytes, 16 bits, times smaller than JSON lists", 5, smaller(_INT16)),
        goal("raw bytes, 16 bits, times faster than JSON lists", 10, _faster(answers, _INT16) if answers else None),
        goal("raw bytes, float32, times smaller than JSON lists", 4.5, smaller(_BYTES)),
        goal("raw bytes, float32, times faster than JSON lists", 10, _faster(answers, _BYTES) if answers else None),
        goal("npz, float32, times faster than JSON lists", 10, _faster(answers, _NPZ) if answers else None),
    ]


def _faster(answers: dict[str, list[TimedAnswer]], name: str) -> float:
    return ratio(_without_the_model(answers, _LISTS), _without_the_model(answers, name))


def _without_the_model(answers: dict[str, list[TimedAnswer]], name: str) -> list[float]:
    """Seconds of each round, minus the model's time for float32, so that the conversion to 16 bits counts."""
    return [answer.seconds - plain.infer for answer, plain in zip(answers[name], answers[_BYTES], strict=True)]


def _check(answers: dict[str, list[TimedAnswer]]) -> None:
    """Every format has the same depths: exactly, or within half a step of 16 bits."""
    import numpy as np

    exact = answers[_BYTES][0].depth
    for name, timed in answers.items():
        assert np.abs(timed[0].depth - exact).max() < 1e-3, name
        assert exact.shape == (HEIGHT, WIDTH)


def depth_server(folder: Path) -> RunningServer:
    """A server with a small metric depth model under the names `depth` and `vits-hypersim`."""
    from scripts.testbed.models.depth import build_depth_metric

    model = folder / "model"
    model.mkdir(parents=True)
    build_depth_metric(model)
    one_thread = {"OMP_NUM_THREADS": "1"}
    entry = {"id": "depth", "engine": "depth_anything", "source": str(model), "aliases": ["vits-hypersim"]}
    return RunningServer(folder, [{**entry, "env": one_thread, "options": {"threads": 1}}])


def photo() -> str:
    """A smooth image without repetitions: base64 of a JPEG file."""
    import random

    from PIL import Image

    noise = Image.frombytes("RGB", (32, 24), random.Random(0).randbytes(32 * 24 * 3))
    buffer = io.BytesIO()
    noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


def _request(client: httpx2.Client, image: str, format_: WireFormat) -> TimedAnswer:
    started = time.perf_counter()
    body = {"model": "depth", "image": image, **format_.fields}
    answer = client.post("/v1/vision/depth", json=body, headers={"accept": format_.accept})
    answer.raise_for_status()
    depth = format_.read(answer.headers, answer.content)
    seconds = time.perf_counter() - started
    [infer] = re.findall(r"infer;dur=([\d.]+)", answer.headers["server-timing"])
    return TimedAnswer(len(answer.content), seconds, float(infer) / 1e3, depth)


def _from_json(_: Any, content: bytes) -> Any:
    """From lists, or from base64 of float32."""
    import numpy as np

    depth = json.loads(content)["data"][0]["depth"]
    data = depth["data"]
    if isinstance(data, list):
        return np.array(data, np.float32)
    return np.frombuffer(base64.b64decode(data), "<f4").reshape(depth["shape"])


def _from_png(_: Any, content: bytes) -> Any:
    import numpy as np
    from PIL import Image

    depth = json.loads(content)["data"][0]["depth"]
    with Image.open(io.BytesIO(base64.b64decode(depth["data"]))) as image:
        return np.asarray(image) * np.float32(depth["scale"]) + np.float32(depth["offset"])


def _from_bytes(headers: Any, content: bytes) -> Any:
    import numpy as np

    shape = [int(side) for side in headers["x-array-shape"].split(",")]
    array = np.frombuffer(content, headers["x-array-dtype"]).reshape(shape)
    if "x-array-scale" not in headers:
        return array
    return array * np.float32(headers["x-array-scale"]) + np.float32(headers["x-array-offset"])


def _from_npz(_: Any, content: bytes) -> Any:
    import numpy as np

    with np.load(io.BytesIO(content)) as arrays:
        return arrays["0.depth"]


FORMATS = {
    _LISTS: WireFormat(_from_json, {"encoding_format": "float"}),
    "JSON, base64 of float32": WireFormat(_from_json, {}),
    "JSON, base64 of a 16-bit PNG": WireFormat(_from_png, {"format": "png16"}),
    _BYTES: WireFormat(_from_bytes, {}, "application/octet-stream"),
    _INT16: WireFormat(_from_bytes, {"format": "png16"}, "application/octet-stream"),
    _NPZ: WireFormat(_from_npz, {}, "application/x-npz"),
}
