"""Requests to a chat engine that come while others are being answered, and what the model runs meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from contract.tasks.chat import ChatRequest
from tests.support.batching import feed_of
from tests.support.chat_engines import Piece, run, text, whole
from workers.engine import Call

Engines = Callable[[str], Any]


class Talk:
    """Answers to a first request and to newcomers `(n, request)`, which come when the first has `n` tokens."""

    def __init__(self, engine: Any, first: ChatRequest, *newcomers: tuple[int, ChatRequest], limit: int = 16) -> None:
        self.calls = [Call(first)]
        self.closed: list[int] = []
        self.pieces: list[list[Piece]] = [[]]
        waiting: deque[Call[Any]] = deque(self.calls)
        to_come = deque(newcomers)
        for call, piece in engine.chat(feed_of(waiting, limit)):
            self._note(call, piece)
            while to_come and to_come[0][0] <= self.calls[0].done:
                self.calls.append(Call(to_come.popleft()[1]))
                self.pieces.append([])
                waiting.append(self.calls[-1])

    def _note(self, call: Call[Any], piece: Piece) -> None:
        number = self.calls.index(call)
        self.pieces[number].append(piece)
        if piece is None:
            self.closed.append(number)

    @property
    def texts(self) -> list[str]:
        return [text(whole(pieces)) for pieces in self.pieces]


def alone(engine: Any, *requests: ChatRequest) -> list[str]:
    """The answer of each, asked one after another."""
    return [text(whole(run(engine, item)[0])) for item in requests]


@contextmanager
def steps(engine: Any) -> Iterator[list[tuple[int, int]]]:
    """Rows and columns of each run of the model; a step of all rows has one column."""
    seen: list[tuple[int, int]] = []

    def note(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        given = inputs["inputs_embeds"] if inputs.get("input_ids") is None else inputs["input_ids"]
        seen.append((given.shape[0], given.shape[1]))

    hook = engine._model.register_forward_pre_hook(note, with_kwargs=True)
    yield seen
    hook.remove()


@contextmanager
def forgetful(engine: Any) -> Iterator[None]:
    """Nothing is kept of earlier conversations and pictures."""
    runner = engine._runner
    kept = runner.prefixes, runner.features
    runner.prefixes, runner.features = type(kept[0])(0), type(kept[1])(0)
    yield
    runner.prefixes, runner.features = kept
