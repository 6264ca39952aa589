"""The queue of waiting requests: calls whose prompt is not prepared yet, and waiting choices of prepared prompts."""

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
    """First in, first out. Choices that find no free row go to the end, so many choices do not block other requests.

    `open_prompt` prepares a call's prompt. It is called only when a row is free, since images need much memory.
    """

    def __init__(self, open_prompt: Callable[[Call[ChatRequest]], ChatPrompt]) -> None:
        self.refused: deque[tuple[Call[Any], ServeError]] = deque()
        """Calls that get an error instead of an answer."""
        self._open_prompt = open_prompt
        self._waiting: deque[Call[ChatRequest] | ChatPrompt] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def waiting_calls(self) -> int:
        """The number of calls that have no row yet."""
        return sum(isinstance(item, Call) or item.choices[0].index == 0 for item in self._waiting)

    def add(self, calls: Iterable[Call[ChatRequest]]) -> None:
        """Add calls at the end."""
        self._waiting.extend(calls)

    def put_back(self, prompts: Iterable[ChatPrompt]) -> None:
        """Put prompts back at the front."""
        self._waiting.extendleft(reversed(list(prompts)))

    def next(self, room: int) -> ChatPrompt | None:
        """Take the next prompt, with up to `room` choices; its other choices go to the end of the queue."""
        while room > 0 and self._waiting:
            head = self._waiting.popleft()
            prompt = self._opened(head) if isinstance(head, Call) else head
            choices = prompt.unfinished if prompt else []
            if prompt and choices:
                if choices[room:]:
                    self._waiting.append(prompt.with_choices(choices[room:]))
                return prompt.with_choices(choices[:room])
        return None

    def refuse(self, call: Call[ChatRequest], error: Exception) -> None:
        """Answer a call with an error. Raises the error instead if the process cannot continue after it."""
        if is_fatal(error):
            raise error
        if not isinstance(error, ServeError):
            log.error("reading the prompt of %s failed", call.id, exc_info=error)
        self.refused.append((call, to_serve_error(error)))

    def _opened(self, call: Call[ChatRequest]) -> ChatPrompt | None:
        """The call's prompt, or None if the call is cancelled or its prompt cannot be prepared."""
        try:
            return None if call.cancelled else self._open_prompt(call)
        except Exception as error:
            self.refuse(call, error)
            return None
