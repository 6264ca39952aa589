"""Cases for the test that every engine passes: requests of each task, and functions that send them to an engine."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel

from contract.errors import ServeError
from contract.tasks import all_tasks
from workers.batcher import Batcher
from workers.engine import Call, Engine, Options, Output
from workers.tickets import Ticket

Body = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """An engine with a task: two requests with different answers, and one that must fail without failing others."""

    engine: str
    task: str
    first: Body
    second: Body
    bad: Body
    model: str | None = None  # a family of scripts/testbed/models
    options: Body = field(default_factory=dict)
    trusted: bool = False  # the checkpoint contains code

    def __str__(self) -> str:
        return f"{self.engine}-{self.task}"


def text_image(text: str, size: tuple[int, int] = (120, 60)) -> str:
    """An image of a text, as base64 of a PNG file."""
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).text((15, 10), text, fill="black", font=ImageFont.load_default(32))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def chat(text: str, **fields: Any) -> Body:
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 6, **fields}


def draw(prompt: str, **fields: Any) -> Body:
    return {"prompt": prompt, "size": "64x64", "steps": 2, "seed": 1, **fields}


def documents(*texts: str, **fields: Any) -> Body:
    return {"query": "a dog", "documents": texts, **fields}


def say(text: str, **fields: Any) -> Body:
    return {"input": text, "response_format": "wav", "seed": 1, **fields}


def segment(x: float, y: float) -> Body:
    return {"image": text_image("Hello"), "prompts": [{"points": [[x, y]]}]}


def detect(prompt: str | None, **fields: Any) -> Body:
    return {"image": text_image("Hello"), "prompt": prompt, "box_threshold": 0, "max_detections": 3, **fields}


@contextmanager
def batcher(engine: Engine) -> Iterator[Batcher]:
    running = Batcher(engine, Options(), lambda: None)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        yield running
    finally:
        running.stop()
        thread.join(60)


async def ask(engine: Engine, case: Case, *bodies: Body) -> list[Any]:
    """The answers to requests sent at the same time: a response or a ServeError each."""
    task = all_tasks()[case.task]
    with batcher(engine) as running:
        calls = [Call(task.decode("application/json", json.dumps(body).encode())) for body in bodies]
        tickets = [running.submit(engine.served()[case.task], call) for call in calls]
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
    """The comparable part of an answer: without times, ids and batch sizes."""
    assert isinstance(answer, BaseModel), answer
    dumped = answer.model_dump(mode="json", exclude={"id", "created", "batch", "usage"})
    return json.loads(json.dumps(dumped), parse_float=lambda text: round(float(text), 4))
