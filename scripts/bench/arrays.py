"""A depth map on its way to a client that wants numbers: as JSON lists, base64, PNG, raw bytes and npz."""

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
_TITLE = "A depth map on the wire"
_TEXT = f"""
One client asks the house for the depth of a picture of {WIDTH}x{HEIGHT}, in each form in turns, and reads the answer
into a numpy array. The time is all that the client waits and computes; how many times faster is told of what is beyond
the model's own time (`infer` of Server-Timing), which is the same for all. The model is a Depth Anything V2 of a few
thousand random weights, which sees the picture at 98x70. `encoding_format: float` makes JSON lists of numbers.
"""
_LISTS, _BYTES, _STEPS, _NPZ = "JSON, lists", "raw bytes, float32", "raw bytes, 16 bits", "npz, float32"


@dataclass(frozen=True, slots=True)
class WireForm:
    """What to ask for, and how to read it: the array in an answer's headers and content."""

    read: Callable[[Any, bytes], Any]
    fields: dict[str, str]
    accept: str = "application/json"


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer: its bytes, the seconds until it was an array, those that the model took of them, and that array."""

    size: int
    seconds: float
    infer: float
    depth: Any


def measure(setup: Setup) -> Result:
    """Size and time of each form, in turns."""
    if missing := [name for name in ("transformers", "numpy") if importlib.util.find_spec(name) is None]:
        return Result(_TITLE, _TEXT, _goals({}, f"{', '.join(missing)} is not installed"))
    folder = setup.folder / "arrays"
    with _server(folder) as server, httpx2.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        picture = _picture()
        forms = {name: partial(_ask, client, picture, form) for name, form in FORMS.items()}
        for ask in forms.values():
            ask()  # the first one waits for the model
        seen = in_turns(setup.rounds(7), forms)
    _check(seen)
    rows = [
        (
            name,
            f"{answers[0].size / 1e6:.2f} MB",
            f"{statistics.median(one.seconds for one in answers) * 1e3:,.0f} ms",
            f"{seen[_LISTS][0].size / answers[0].size:.1f} ×",
            f"{_faster(seen, name):.1f} ×",
        )
        for name, answers in seen.items()
    ]
    return Result(_TITLE, _TEXT, _goals(seen), ("form", "size", "time", "times smaller", "times faster"), rows)


def _goals(seen: dict[str, list[Seen]], why: str = "") -> list[Goal]:
    def smaller(name: str) -> float | None:
        return seen[_LISTS][0].size / seen[name][0].size if seen else None

    def goal(what: str, limit: float, value: float | None) -> Goal:
        return Goal(what, limit, value, " ×", at_least=True, why=why)

    return [
        goal("raw bytes, 16 bits, smaller than JSON lists", 5, smaller(_STEPS)),
        goal("raw bytes, 16 bits, faster than JSON lists", 10, _faster(seen, _STEPS) if seen else None),
        goal("raw bytes, float32 as the model made them, smaller than JSON lists", 4.5, smaller(_BYTES)),
        goal("raw bytes, float32, faster than JSON lists", 10, _faster(seen, _BYTES) if seen else None),
        goal("npz, float32, faster than JSON lists", 10, _faster(seen, _NPZ) if seen else None),
    ]


def _faster(seen: dict[str, list[Seen]], name: str) -> float:
    return ratio(_beyond_the_model(seen, _LISTS), _beyond_the_model(seen, name))


def _beyond_the_model(seen: dict[str, list[Seen]], name: str) -> list[float]:
    """Seconds of each round. What the model takes for float32 is taken off all, so that making steps of it counts."""
    return [one.seconds - plain.infer for one, plain in zip(seen[name], seen[_BYTES], strict=True)]


def _check(seen: dict[str, list[Seen]]) -> None:
    """Every form gives the same depths: exactly, or within half a step of 16 bits."""
    import numpy as np

    exact = seen[_BYTES][0].depth
    for name, answers in seen.items():
        assert np.abs(answers[0].depth - exact).max() < 1e-3, name
        assert exact.shape == (HEIGHT, WIDTH)


def _server(folder: Path) -> RunningServer:
    from scripts.testbed.models.depth import build_depth_metric

    model = folder / "model"
    model.mkdir(parents=True)
    build_depth_metric(model)
    one = {"OMP_NUM_THREADS": "1"}
    options = {"threads": 1}
    return RunningServer(
        folder, [{"id": "depth", "engine": "depth_anything", "source": str(model), "env": one, "options": options}]
    )


def _picture() -> str:
    """A picture that is smooth, as most are, but nowhere the same: base64 of a JPEG file."""
    import random

    from PIL import Image

    noise = Image.frombytes("RGB", (32, 24), random.Random(0).randbytes(32 * 24 * 3))
    buffer = io.BytesIO()
    noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


def _ask(client: httpx2.Client, picture: str, form: WireForm) -> Seen:
    started = time.perf_counter()
    body = {"model": "depth", "image": picture, **form.fields}
    answer = client.post("/v1/vision/depth", json=body, headers={"accept": form.accept})
    answer.raise_for_status()
    depth = form.read(answer.headers, answer.content)
    seconds = time.perf_counter() - started
    [infer] = re.findall(r"infer;dur=([\d.]+)", answer.headers["server-timing"])
    return Seen(len(answer.content), seconds, float(infer) / 1e3, depth)


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
    found = np.frombuffer(content, headers["x-array-dtype"]).reshape(shape)
    if "x-array-scale" not in headers:
        return found
    return found * np.float32(headers["x-array-scale"]) + np.float32(headers["x-array-offset"])


def _from_npz(_: Any, content: bytes) -> Any:
    import numpy as np

    with np.load(io.BytesIO(content)) as arrays:
        return arrays["0.depth"]


FORMS = {
    _LISTS: WireForm(_from_json, {"encoding_format": "float"}),
    "JSON, base64 of float32": WireForm(_from_json, {}),
    "JSON, base64 of a 16-bit PNG": WireForm(_from_png, {"format": "png16"}),
    _BYTES: WireForm(_from_bytes, {}, "application/octet-stream"),
    _STEPS: WireForm(_from_bytes, {"format": "png16"}, "application/octet-stream"),
    _NPZ: WireForm(_from_npz, {}, "application/x-npz"),
}
