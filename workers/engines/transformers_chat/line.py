"""Who waits for a row: calls whose prompt has not been read yet, and choices of those whose has."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from contract.errors import ServeError
from contract.tasks.chat import ChatRequest
from workers.engine import Call
from workers.engines.transformers_chat.decoding import Prompt
from workers.failures import is_fatal, to_serve_error

log = logging.getLogger(__name__)

_READ_TOGETHER = 1024
"""So many tokens, padding included, are read at once of prompts without pictures; a longer prompt is read alone."""


class Line:
    """First come, first served, a row at a time: who asks for a hundred choices keeps nobody from their one.

    `read` makes a call's prompt. It is called when a call's turn comes, and not before: a prompt with pictures is big.
    """

    def __init__(self, read: Callable[[Call[ChatRequest]], Prompt]) -> None:
        self.refused: deque[tuple[Call[Any], ServeError]] = deque()
        """Calls that get no answer, and why."""
        self.singly = False
        """Give prompts one by one."""
        self._read = read
        self._waiting: deque[Call[ChatRequest] | Prompt] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def newcomers(self) -> int:
        """How many calls wait for their first row."""
        return sum(isinstance(item, Call) or item.choices[0].index == 0 for item in self._waiting)

    def add(self, calls: Iterable[Call[ChatRequest]]) -> None:
        """Let them wait behind all others."""
        self._waiting.extend(calls)

    def put_back(self, prompts: Iterable[Prompt]) -> None:
        """Let them be the next again."""
        self._waiting.extendleft(reversed(list(prompts)))

    def next(self, room: int) -> list[Prompt]:
        """The next prompts, with no more choices than so many, and such as can be read at once."""
        group: list[Prompt] = []
        while room > 0 and not (group and (self.singly or group[0].alone)):
            prompt = self._head()
            if prompt is None or not _go_together([*group, prompt]):
                break
            self._waiting.popleft()
            begun, rest = prompt.choices[:room], prompt.choices[room:]
            group.append(prompt.only(begun))
            self._waiting += [prompt.only(rest)] if rest else []
            room -= len(begun)
        return group

    def refuse(self, call: Call[ChatRequest], error: Exception) -> None:
        """Give a call up. Raises the error if it has broken the process."""
        if is_fatal(error):
            raise error
        if not isinstance(error, ServeError):
            log.error("the prompt of %s could not be read", call.id, exc_info=error)
        self.refused.append((call, to_serve_error(error)))

    def _head(self) -> Prompt | None:
        """Who comes first: read, in its place, without the choices that nobody waits for. None: the line is empty."""
        while self._waiting:
            head = self._waiting.popleft()
            prompt = self._open(head) if isinstance(head, Call) else head
            living = [choice for choice in prompt.choices if not choice.is_over] if prompt else []
            if prompt and living:
                self._waiting.appendleft(prompt.only(living))
                return prompt.only(living)
        return None

    def _open(self, call: Call[ChatRequest]) -> Prompt | None:
        """Read a call's prompt. Who asks for what cannot be is told so, alone."""
        try:
            return None if call.cancelled else self._read(call)
        except Exception as error:
            self.refuse(call, error)
            return None


def _go_together(prompts: list[Prompt]) -> bool:
    """Whether to read them at once, which pads the shorter ones."""
    longest = max(prompt.length for prompt in prompts)
    together = not any(prompt.alone for prompt in prompts) and longest * len(prompts) <= _READ_TOGETHER
    return together or len(prompts) == 1
