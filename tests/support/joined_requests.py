"""Sends requests to a chat engine while other requests are running, and records the forward passes."""

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


class JoinedRequests:
    """Runs a first request, and `later` ones `(n, request)`, each sent when the first has `n` tokens.

    `finish_order` has the numbers of the requests in the order in which they finish.
    """

    def __init__(self, engine: Any, first: ChatRequest, *later: tuple[int, ChatRequest], limit: int = 16) -> None:
        self.calls = [Call(first)]
        self.finish_order: list[int] = []
        self.pieces: list[list[Piece]] = [[]]
        waiting: deque[Call[Any]] = deque(self.calls)
        unsent = deque(later)
        for call, piece in engine.chat(feed_of(waiting, limit)):
            self._note(call, piece)
            while unsent and unsent[0][0] <= self.calls[0].done:
                self.calls.append(Call(unsent.popleft()[1]))
                self.pieces.append([])
                waiting.append(self.calls[-1])

    def _note(self, call: Call[Any], piece: Piece) -> None:
        number = self.calls.index(call)
        self.pieces[number].append(piece)
        if piece is None:
            self.finish_order.append(number)

    @property
    def texts(self) -> list[str]:
        return [text(whole(pieces)) for pieces in self.pieces]


def alone(engine: Any, *requests: ChatRequest) -> list[str]:
    """The answers when the requests are sent one after another."""
    return [text(whole(run(engine, item)[0])) for item in requests]


@contextmanager
def steps(engine: Any) -> Iterator[list[tuple[int, int]]]:
    """Records (rows, columns) of each forward pass; a decode step has one column."""
    shapes: list[tuple[int, int]] = []

    def note(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        tokens = inputs["inputs_embeds"] if inputs.get("input_ids") is None else inputs["input_ids"]
        shapes.append((tokens.shape[0], tokens.shape[1]))

    hook = engine._model.register_forward_pre_hook(note, with_kwargs=True)
    yield shapes
    hook.remove()
