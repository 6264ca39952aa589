"""What every engine promises, asked of fake and real alike. A new engine adds its cases to `CASES`."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks import all_tasks
from tests.conftest import Models
from tests.support.batching import feed_of
from tests.support.model_libraries import MODEL_LIBRARIES
from workers.batcher import Batcher, Ticket
from workers.engine import Call, Device, Engine, Options, Output
from workers.registry import engine_names, find_engine

NOT_LOADED_IN_WORKERS = {"command"}

Body = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """An engine with a task: two requests that must be answered differently, and one that must fail, alone."""

    engine: str
    task: str
    one: Body
    other: Body
    bad: Body
    model: str | None = None  # of tests/models
    options: Body = field(default_factory=dict)
    trusted: bool = False  # the model comes with code of its own

    def __str__(self) -> str:
        return f"{self.engine}-{self.task}"


def written(text: str) -> str:
    """A picture of a text, as base64 of a PNG file."""
    image = Image.new("RGB", (120, 60), "white")
    ImageDraw.Draw(image).text((15, 10), text, fill="black", font=ImageFont.load_default(32))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def said(text: str, **fields: Any) -> Body:
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 6, **fields}


def drawn(prompt: str, **fields: Any) -> Body:
    return {"prompt": prompt, "size": "64x64", "steps": 2, "seed": 1, **fields}


def pointed(x: float, y: float) -> Body:
    return {"image": written("Hello"), "prompts": [{"points": [[x, y]]}]}


def searched(prompt: str | None, **fields: Any) -> Body:
    return {"image": written("Hello"), "prompt": prompt, "box_threshold": 0, "max_detections": 3, **fields}


POISON = {"fail_on_prompt": "poison"}
CAMERA = {"fx": 100, "fy": 100, "cx": 60, "cy": 30}
EXACT = {"threads": 1, "batch_size": 1}
"""For answers in base64, which this test compares byte by byte: together they are a hundred-thousandth off."""
PICTURES = ({"image": written("Hello")}, {"image": written("World")}, {"image": "data:image/png;base64,abcde"})

CASES = [
    Case("fake", "chat", said("hello you"), said("hello they"), said("poison"), options=POISON),
    Case("fake", "embeddings", {"input": "a"}, {"input": "b"}, {"input": "poison"}, options=POISON),
    Case("fake", "image-generation", drawn("cat"), drawn("dog"), drawn("poison"), options=POISON),
    Case("fake", "ocr", *PICTURES),
    Case("rapidocr", "ocr", *PICTURES, options={"threads": 1}),
    Case("depth_anything", "depth", *PICTURES, model="depth_metric", options=EXACT),
    Case("depth_anything", "pointcloud", *({**picture, "camera_intrinsics": CAMERA} for picture in PICTURES),
         model="depth_metric", options=EXACT),
    Case("dino", "features", *PICTURES, model="dinov2", options={"threads": 1}),
    Case("blip", "caption", *PICTURES, model="blip", options={"threads": 1}),
    Case("moondream", "chat", said("hello you"), said("hello they"), said("far " * 20_000), model="moondream",
         trusted=True),
    Case("moondream", "caption", *PICTURES, model="moondream", trusted=True),
    Case("moondream", "detect", searched("cat"), searched("remote control"), searched(None), model="moondream",
         trusted=True),
    Case("sentence_transformers", "embeddings", {"input": "a cat"}, {"input": "a dog"},
         {"input": "a cat", "dimensions": 10**6}, model="minilm", options={"threads": 1}),
    Case("transformers_chat", "chat", said("hello you"), said("hello they"), said("far " * 20_000), model="lm"),
    Case("diffusers_image", "image-generation", drawn("cat"), drawn("dog"), drawn("cat", size="17x17"),
         model="sd", options={"threads": 1}),
    Case("diffusers_image", "image-edit", *(drawn("cat", **sent) for sent in PICTURES),
         model="sd", options={"threads": 1}),
    Case("diffusers_image", "image-variation", *(drawn("", **sent) for sent in PICTURES),
         model="sd", options={"threads": 1}),
    Case("mlx", "chat", said("hello you"), said("hello they"), said("far " * 20_000), model="mlx_smolvlm"),
    Case("mlx", "embeddings", {"input": "a cat"}, {"input": "a dog"}, {"input": "a cat", "dimensions": 10**6},
         model="mlx_minilm"),
    Case("transformers_ocr", "ocr", *PICTURES, model="trocr", options={"threads": 1, "max_tokens": 8}),
    Case("transformers_detect", "detect", searched("cat"), searched("remote control"), searched(None),
         model="grounding_dino", options={"threads": 1}),
    Case("transformers_segment", "segment", pointed(30, 30), pointed(90, 20), pointed(500, 30), model="sam2",
         options={"threads": 1}),
]  # fmt: skip


@pytest.fixture(scope="module")
def load(models: Models, request: pytest.FixtureRequest) -> Callable[[Case], Engine]:
    """The case's engine with its model in it, loaded once."""

    @cache
    def loaded(name: str, tasks: tuple[str, ...], model: str | None, options: str, trusted: bool) -> Engine:
        source = str(models(model)) if model else ""
        entry = {"id": "case", "engine": name, "tasks": tasks, "source": source, "trust_remote_code": trusted}
        spec = ModelSpec.model_validate({**entry, "options": json.loads(options)})
        engine = find_engine(name)()
        engine.load(spec, Device("cpu", "float32"))
        return engine

    def load_for(case: Case) -> Engine:
        named = (case.task,) if case.task in find_engine(case.engine).opt_in_tasks else ()
        if case.trusted:
            request.getfixturevalue("model_code")
        return loaded(case.engine, named, case.model, json.dumps(case.options), case.trusted)

    return load_for


@contextmanager
def batcher(engine: Engine) -> Iterator[Batcher]:
    made = Batcher(engine, Options(), lambda: None)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.stop()
        thread.join(60)


async def ask(engine: Engine, case: Case, *bodies: Body) -> list[Any]:
    """The answers to requests that come together: a response or a ServeError each."""
    task = all_tasks()[case.task]
    with batcher(engine) as made:
        calls = [Call(task.decode("application/json", json.dumps(body).encode())) for body in bodies]
        tickets = [made.submit(engine.served()[case.task], call) for call in calls]
        return [await asyncio.wait_for(whole(ticket), 60) for ticket in tickets]


async def whole(ticket: Ticket) -> Any:
    answers: list[Output] = await ticket.next()
    task = ticket.served.task
    while task.chunk and isinstance(answers[-1], BaseModel):
        answers += await ticket.next()
    if isinstance(answers[-1], ServeError) or not task.fold:
        return answers[-1]
    return task.fold(answers[:-1])


def content(answer: Any) -> Any:
    """What matters in an answer: not its time, its name, or with how many it shared a batch."""
    assert isinstance(answer, BaseModel), answer
    dumped = answer.model_dump(mode="json", exclude={"id", "created", "batch", "usage"})
    return json.loads(json.dumps(dumped), parse_float=lambda text: round(float(text), 4))


_ALONE: dict[tuple[str, str], Any] = {}


async def alone(engine: Engine, case: Case, which: str) -> Any:
    """The answer to the case's `one` or `other` when it has the engine to itself; asked once."""
    key = (str(case), which)
    if key not in _ALONE:
        [answer] = await ask(engine, case, getattr(case, which))
        assert isinstance(answer, all_tasks()[case.task].response)
        _ALONE[key] = content(answer)
    return _ALONE[key]


@pytest.mark.parametrize("name", engine_names())
def test_description_imports_no_model_library(name: str) -> None:
    program = (
        "import sys; from workers.registry import find_engine; engine = find_engine(sys.argv[1]);"
        "assert engine.__doc__ and engine.served() and engine.devices; engine.Options.model_fields;"
        "assert all(isinstance(n, str) for n in (*engine.features, *engine.imports));"
        "print(*{module.partition('.')[0] for module in sys.modules})"
    )
    root = Path(__file__).parents[3]
    run = subprocess.run([sys.executable, "-c", program, name], cwd=root, capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) & MODEL_LIBRARIES == set()


def test_every_engine_has_a_case() -> None:
    assert {case.engine for case in CASES} == set(engine_names()) - NOT_LOADED_IN_WORKERS


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_answers_have_their_type_and_depend_on_the_request(case: Case, load: Callable[[Case], Engine]) -> None:
    engine = load(case)
    assert await alone(engine, case, "one") != await alone(engine, case, "other")


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_batched_answers_equal_those_given_alone(case: Case, load: Callable[[Case], Engine]) -> None:
    engine = load(case)
    one, bad, other = await ask(engine, case, case.one, case.bad, case.other)
    assert isinstance(bad, ServeError)
    assert len(bad.message) > 20
    assert content(one) == await alone(engine, case, "one")
    assert content(other) == await alone(engine, case, "other")


def run(engine: Engine, case: Case, call: Call[Any]) -> Iterator[tuple[Call[Any], Any]]:
    """The method's own answers, with no batcher between."""
    served = engine.served()[case.task]
    answers: Iterator[tuple[Call[Any], Any]] = getattr(engine, served.method)(
        feed_of([call]) if served.joins else [call]
    )
    return answers


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cancelled_calls_get_no_work(case: Case, load: Callable[[Case], Engine]) -> None:
    engine, task = load(case), all_tasks()[case.task]
    call = Call(task.request.model_validate(case.one))
    call.cancel()
    assert not [answer for _, answer in run(engine, case, call) if isinstance(answer, BaseModel)]


@pytest.mark.parametrize("case", [case for case in CASES if all_tasks()[case.task].chunk], ids=str)
def test_cancelling_ends_a_stream(case: Case, load: Callable[[Case], Engine]) -> None:
    engine, task = load(case), all_tasks()[case.task]
    call = Call(task.request.model_validate({**case.one, "max_tokens": 500}))
    answers = run(engine, case, call)
    assert isinstance(next(answers)[1], BaseModel)
    call.cancel()
    assert len([answer for _, answer in answers if isinstance(answer, BaseModel)]) <= 1
