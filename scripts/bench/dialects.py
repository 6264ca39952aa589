"""What the translation of a dialect costs: a depth map through other servers' paths and through the task's own."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2

from scripts.bench.arrays import HEIGHT, WIDTH, depth_server, photo
from scripts.bench.measurement import Goal, Result, Setup, in_turns, ratio

_TITLE = "Dialects"
_TEXT = f"""
One client requests the depth of an image of {WIDTH}x{HEIGHT} through each path, and reads the whole answer. All of them
get the same numbers from the same model: base64 of float32, or rows of numbers, in answers of the same size (to within
0.1 %). The gateway parses the answers, but not the arrays in them. The percentages are medians over all rounds.
"""
_TASK = "/v1/vision/depth"
_LISTS = f"{_TASK}, rows of numbers"
_FIELDS: dict[str, dict[str, Any]] = {
    _TASK: {"model": "depth"},
    "/inference/depth-anything": {"model_id": "depth", "depth_format": "float32"},
    "/metric_depth": {"encoder": "vits", "model_input_size": 70, "max_depth": 20},
    _LISTS: {"model": "depth", "encoding_format": "float"},
    "/inference/depth-anything, rows of numbers": {"model_id": "depth", "depth_format": "list"},
}


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """The size in bytes of one answer, and the seconds until it was read."""

    size: int
    seconds: float


def measure(setup: Setup) -> Result:
    """Size and time of each path, in turns."""
    if importlib.util.find_spec("transformers") is None:
        return Result(_TITLE, _TEXT, _goals({}, "transformers is not installed"))
    folder = setup.folder / "dialects"
    with depth_server(folder) as server, httpx2.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        image = photo()
        requests = {name: partial(_request, client, name, image, fields) for name, fields in _FIELDS.items()}
        for request in requests.values():
            request()  # the first one starts the model
        answers: dict[str, list[ReadAnswer]] = {}
        for own in (_TASK, _LISTS):  # apart, so that the larger answers do not slow down what follows them
            answers |= in_turns(setup.rounds(25), {name: requests[name] for name in _FIELDS if _own_path(name) == own})
    _check_sizes(answers)
    rows = [
        (name, f"{timed[0].size / 1e6:.2f} MB", f"{_median(timed) * 1e3:,.0f} ms") for name, timed in answers.items()
    ]
    return Result(_TITLE, _TEXT, _goals(answers), ("path", "size", "time"), rows)


def _request(client: httpx2.Client, name: str, image: str, fields: Mapping[str, Any]) -> ReadAnswer:
    path = name.partition(",")[0]
    images = {"images": [image]} if path.startswith("/inference/") else {"image": image}
    started = time.perf_counter()
    answer = client.post(path, json={**images, **fields})
    seconds = time.perf_counter() - started
    answer.raise_for_status()
    return ReadAnswer(len(answer.content), seconds)


def _seconds(timed: list[ReadAnswer]) -> list[float]:
    return [answer.seconds for answer in timed]


def _median(timed: list[ReadAnswer]) -> float:
    return statistics.median(_seconds(timed))


def _own_path(name: str) -> str:
    """The task's own path, in the form of this request."""
    return _LISTS if name.endswith("numbers") else _TASK


def _check_sizes(answers: dict[str, list[ReadAnswer]]) -> None:
    """The compared answers are of the same size; otherwise, the larger one's transfer would count as translation."""
    for name, timed in answers.items():
        own = answers[_own_path(name)][0].size
        assert abs(timed[0].size - own) < own / 1000, name


def _goals(answers: dict[str, list[ReadAnswer]], why: str = "") -> list[Goal]:
    """How much longer each dialect's path takes than the task's own, in the same form."""

    def goal(name: str) -> Goal:
        own = _own_path(name)
        value = (ratio(_seconds(answers[name]), _seconds(answers[own])) - 1) * 100 if answers else None
        return Goal(f"{name}, more time than {own}", 10, value, " %", why=why)

    return [goal(name) for name in _FIELDS if name not in {_TASK, _LISTS}]
