"""The queue for rows: calls whose prompt is not opened yet, and further choices of opened prompts."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from contract.errors import ServeError
from contract.tasks.chat import ChatRequest
from workers.engine import Call
from workers.engines.transformers_chat.chat_prompt import ChatPrompt
from workers.failures import is_fatal, to_serve_error

log = logging.getLogger(__name__)


class PromptQueue:
    """First come, first served, a row at a time: a request for a hundred choices does not keep others waiting.

    `open_prompt` makes a call's prompt. It is called when a row is free and not before, since images need much memory.
    """

    def __init__(self, open_prompt: Callable[[Call[ChatRequest]], ChatPrompt]) -> None:
        self.refused: deque[tuple[Call[Any], ServeError]] = deque()
        """Calls that get an error instead of an answer."""
        self._open_prompt = open_prompt
        self._waiting: deque[Call[ChatRequest] | ChatPrompt] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def newcomers(self) -> int:
        """The number of calls that wait for their first row."""
        return sum(isinstance(item, Call) or item.choices[0].index == 0 for item in self._waiting)

    def add(self, calls: Iterable[Call[ChatRequest]]) -> None:
        """Append calls."""
        self._waiting.extend(calls)

    def put_back(self, prompts: Iterable[ChatPrompt]) -> None:
        """Put prompts back at the front."""
        self._waiting.extendleft(reversed(list(prompts)))

    def next(self, room: int) -> ChatPrompt | None:
        """The next prompt, with up to `room` choices; its other choices go to the end of the queue."""
        while room > 0 and self._waiting:
            head = self._waiting.popleft()
            prompt = self._opened(head) if isinstance(head, Call) else head
            living = prompt.living if prompt else []
            if prompt and living:
                if living[room:]:
                    self._waiting.append(prompt.only(living[room:]))
                return prompt.only(living[:room])
        return None

    def refuse(self, call: Call[ChatRequest], error: Exception) -> None:
        """Answer a call with an error. Raises the error if it is fatal for the process."""
        if is_fatal(error):
            raise error
        if not isinstance(error, ServeError):
            log.error("the prompt of %s could not be read", call.id, exc_info=error)
        self.refused.append((call, to_serve_error(error)))

    def _opened(self, call: Call[ChatRequest]) -> ChatPrompt | None:
        """A call's prompt, or None if it is cancelled or refused."""
        try:
            return None if call.cancelled else self._open_prompt(call)
        except Exception as error:
            self.refuse(call, error)
            return None
