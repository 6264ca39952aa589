"""A batcher on a thread of its own, two tasks for it, and functions that read their answers."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from contract.tasks import Request, Response, Task
from workers.batcher import Batcher
from workers.engine import Call, Engine, Feed, Options, Output
from workers.tickets import Ticket

E = TypeVar("E", bound=Engine)


class TextRequest(Request):
    text: str
    size: int = 1


class TextResponse(Response):
    text: str
    batch: int = 1


def fold(chunks: Any) -> TextResponse:
    return TextResponse(text="".join(chunk.text for chunk in chunks))


WHOLE = Task("whole", "/whole", TextRequest, TextResponse)
STREAM = Task("stream", "/stream", TextRequest, TextResponse, chunk=TextResponse, fold=fold)


class BatcherThread(Generic[E]):
    """Runs a batcher with an engine on a thread of its own."""

    def __init__(self, engine: E, **options: Any) -> None:
        self.engine = engine
        self.out_of_memory = 0
        self.batcher = Batcher(engine, Options(**options), self._count_out_of_memory)
        self.thread = threading.Thread(target=self.batcher.run)
        self.thread.start()

    def _count_out_of_memory(self) -> None:
        self.out_of_memory += 1

    def ask(self, text: str, task: str = "whole", *, size: int = 1, alone: bool = False) -> Ticket:
        call = Call(TextRequest(text=text, size=size), id=text, alone=alone)
        return self.batcher.submit(self.engine.served()[task], call)

    def stop(self) -> None:
        self.batcher.stop()

    def close(self) -> None:
        self.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()


def feed_of(calls: Iterable[Call[Any]], limit: int = 16) -> Feed[Any]:
    """A feed of these calls for a method with `joins`, without a batcher. A deque may get more calls meanwhile."""
    waiting = calls if isinstance(calls, deque) else deque(calls)
    return Feed(limit, lambda room: [waiting.popleft() for _ in range(min(room, len(waiting)))])


def answered_together(method: Callable[[Feed[Any]], Iterable[Any]], requests: Iterable[Any]) -> list[list[Any]]:
    """What a method with `joins` yields for each of several requests that share a batch."""
    calls = [Call(request) for request in requests]
    outputs: dict[int, list[Any]] = {id(call): [] for call in calls}
    for call, output in method(feed_of(calls)):
        outputs[id(call)].append(output)
    return [outputs[id(call)] for call in calls]


async def answer(ticket: Ticket) -> Output:
    return (await asyncio.wait_for(ticket.next(), 30))[0]


async def stream(ticket: Ticket) -> list[Output]:
    """All answers, including the last one, which ends the call."""
    answers: list[Output] = []
    while not answers or isinstance(answers[-1], BaseModel):
        answers += await asyncio.wait_for(ticket.next(), 30)
    return answers


def text(answers: list[Output]) -> str:
    return "".join(response.text for response in answers if isinstance(response, TextResponse))
