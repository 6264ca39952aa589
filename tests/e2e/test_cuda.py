"""Every engine that runs on torch, on an NVIDIA GPU: it answers as on the CPU, and its memory comes back."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelSpec
from contract.errors import ServeError
from scripts.bench.gpu_memory import NO_GPU, used
from scripts.testbed.server import RunningServer, eventually
from tests.conftest import Models
from tests.support.engine_cases import Case, ask, content
from tests.workers.engines.test_engine_contract import CASES
from workers.engine import Device, Engine
from workers.registry import find_engine

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(used() is None, reason=NO_GPU),
]

GPU = "cuda"
TOLERANCE = 0.002
"""Relative to the largest number of an answer."""
ON_A_GPU = [case for case in CASES if "cuda" in find_engine(case.engine).devices and case.engine != "fake"]


@pytest.fixture(autouse=True)
def exact_convolutions() -> Iterator[None]:
    """Computes convolutions in float32: with TF32, the default, they differ by about 0.001."""
    import torch

    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.fixture
def load(models: Models, request: pytest.FixtureRequest) -> Callable[[Case, Device], Engine]:
    """Loads a case's engine on a device."""

    def loaded(case: Case, device: Device) -> Engine:
        for package in {name.partition(":")[0] for name in find_engine(case.engine).imports}:
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"{package} is not installed")
        if case.trusted:
            request.getfixturevalue("model_code")
        tasks = (case.task,) if case.task in find_engine(case.engine).opt_in_tasks else ()
        source = str(models(case.model)) if case.model else ""
        entry = {"id": "case", "engine": case.engine, "tasks": tasks, "source": source, "options": case.options}
        engine = find_engine(case.engine)()
        engine.load(ModelSpec.model_validate({**entry, "trust_remote_code": case.trusted}), device)
        return engine

    return loaded


@pytest.mark.parametrize("case", ON_A_GPU, ids=str)
async def test_answers_equal_those_of_the_cpu(case: Case, load: Callable[[Case, Device], Engine]) -> None:
    expected = [content(answer) for answer in await ask(load(case, Device("cpu", "float32")), case, case.first)]
    engine = load(case, Device(GPU, "float32"))
    answers = await ask(engine, case, case.first, case.bad)
    assert isinstance(answers[1], ServeError)
    assert differences(content(answers[0]), expected[0]) == []


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("case", ON_A_GPU, ids=str)
async def test_half_precision_gives_finite_answers(
    case: Case, dtype: str, load: Callable[[Case, Device], Engine]
) -> None:
    engine = load(case, Device(GPU, dtype))
    for answer in await ask(engine, case, case.first, case.second):
        assert all(math.isfinite(number) for _, number in _numbers(content(answer)))


def test_memory_comes_back_after_an_idle_stop(models: Models, tmp_path: Path) -> None:
    entry = {"id": "m", "engine": "transformers_chat", "source": str(models("lm")), "device": "cuda"}
    with RunningServer(tmp_path, [{**entry, "idle_timeout": 0.5}]) as server:
        before = used()
        server.chat("m", max_tokens=4).raise_for_status()
        assert (used() or 0) > (before or 0)
        eventually("the worker is gone", lambda: not server.workers())
        assert used() == before


def test_a_nearly_full_gpu_gives_no_internal_error(models: Models, tmp_path: Path) -> None:
    entry = {"id": "m", "engine": "diffusers_image", "source": str(models("sd")), "device": "cuda"}
    with RunningServer(tmp_path, [entry]) as server, all_but(1 << 30):
        answer = server.post("/v1/images/generations", {"model": "m", "prompt": "a cat", "size": "64x64", "steps": 1})
        assert answer.status_code in {200, 503}, answer.text


@contextmanager
def all_but(size: int) -> Iterator[None]:
    """Take the GPU's free memory except for `size` bytes, until the end of the block."""
    import torch

    free, _ = torch.cuda.mem_get_info()
    block = torch.empty(free - size, dtype=torch.uint8, device=GPU)
    try:
        yield
    finally:
        del block
        torch.cuda.empty_cache()


def differences(answer: Any, expected: Any) -> list[str]:
    """The places of two answers that differ by more than the tolerance."""
    ours, theirs = dict(_numbers(answer)), dict(_numbers(expected))
    if ours.keys() != theirs.keys():
        return [f"other places: {sorted(ours.keys() ^ theirs.keys())[:9]}"]
    scale = max(1.0, *(abs(number) for number in theirs.values()), 0)
    return [
        f"{place}: {ours[place]} != {theirs[place]}"
        for place in ours
        if not abs(ours[place] - theirs[place]) <= TOLERANCE * scale
    ][:9] + _texts(answer, expected)


def _texts(answer: Any, expected: Any) -> list[str]:
    ours, theirs = (json.dumps(it, default=str) for it in (_without_numbers(answer), _without_numbers(expected)))
    return [] if ours == theirs else [f"{ours[:600]} != {theirs[:600]}"]


def _without_numbers(value: Any) -> Any:
    """An answer without numbers and files."""
    if isinstance(value, dict):
        return {key: _without_numbers(item) for key, item in value.items() if key != "counts"}
    if isinstance(value, list):
        return [_without_numbers(item) for item in value]
    return value if isinstance(value, str) and len(value) < 100 else None


def _numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Every number of an answer with its place; of images, the mean of each cell of 8 x 8."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield place, float(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{place}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{place}[{index}]")
    elif len(value) > 100:
        yield from _pixels(value, place)


def _pixels(text: str, place: str) -> Iterator[tuple[str, float]]:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(base64.b64decode(text.rpartition(",")[2]))) as image:
            small = np.asarray(image.convert("RGB").resize((8, 8)), dtype=float)
    except (UnidentifiedImageError, ValueError):
        return
    yield from ((f"{place}.{index}", float(number)) for index, number in enumerate(small.ravel()))
