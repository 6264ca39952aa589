"""A batcher on a thread of its own, two tasks to ask it for, and what reads their answers."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from contract.tasks import Request, Response, Task
from workers.batcher import Batcher, Ticket
from workers.engine import Call, Engine, Feed, Options, Output

E = TypeVar("E", bound=Engine)


class Ask(Request):
    text: str
    size: int = 1


class Told(Response):
    text: str
    batch: int = 1


def fold(chunks: Any) -> Told:
    return Told(text="".join(chunk.text for chunk in chunks))


WHOLE = Task("whole", "/whole", Ask, Told)
STREAM = Task("stream", "/stream", Ask, Told, chunk=Told, fold=fold)


class House(Generic[E]):
    """A batcher on a thread of its own."""

    def __init__(self, engine: E, **options: Any) -> None:
        self.engine = engine
        self.out_of_memory = 0
        self.batcher = Batcher(engine, Options(**options), self._note_out_of_memory)
        self.thread = threading.Thread(target=self.batcher.run)
        self.thread.start()

    def _note_out_of_memory(self) -> None:
        self.out_of_memory += 1

    def ask(self, text: str, task: str = "whole", *, size: int = 1, alone: bool = False) -> Ticket:
        call = Call(Ask(text=text, size=size), id=text, alone=alone)
        return self.batcher.submit(self.engine.served()[task], call)

    def close(self) -> None:
        self.batcher.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()


def feed_of(calls: Iterable[Call[Any]], limit: int = 16) -> Feed[Any]:
    """What a method with `joins` takes its calls from, with no batcher behind it. A deque may get more meanwhile."""
    waiting = calls if isinstance(calls, deque) else deque(calls)
    return Feed(limit, lambda most: [waiting.popleft() for _ in range(min(most, len(waiting)))])


async def answer(ticket: Ticket) -> Output:
    return (await asyncio.wait_for(ticket.next(), 30))[0]


async def stream(ticket: Ticket) -> list[Output]:
    """All answers, the ending one included."""
    answers: list[Output] = []
    while not answers or isinstance(answers[-1], BaseModel):
        answers += await asyncio.wait_for(ticket.next(), 30)
    return answers


def text(answers: list[Output]) -> str:
    return "".join(told.text for told in answers if isinstance(told, Told))
