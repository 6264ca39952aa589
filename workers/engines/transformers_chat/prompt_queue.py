"""The queue of waiting requests: calls whose prompt is not prepared yet, and waiting choices of prepared prompts."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from contract.errors import ServeError
from workers.engine import Call
from workers.engines.transformers_chat.chat_prompt import ChatPrompt
from workers.failures import is_fatal, to_serve_error

log = logging.getLogger(__name__)


class PromptQueue:
    """First in, first out. So that many choices do not block other requests, those that find no free row go to the end,
    and so do all prompts of a call but the first.

    `open_prompts` prepares a call's prompts. It is called only when a row is free, since images need much memory.
    """

    def __init__(self, open_prompts: Callable[[Call[Any]], Sequence[ChatPrompt]]) -> None:
        self.refused: deque[tuple[Call[Any], ServeError]] = deque()
        """Calls that get an error instead of an answer."""
        self._open_prompts = open_prompts
        self._waiting: deque[Call[Any] | ChatPrompt] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def waiting_calls(self) -> int:
        """The number of calls that have no row yet."""
        return sum(isinstance(item, Call) or item.choices[0].index == 0 for item in self._waiting)

    def add(self, calls: Iterable[Call[Any]]) -> None:
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

    def refuse(self, call: Call[Any], error: Exception) -> None:
        """Answer a call with an error. Raises the error instead if the process cannot continue after it."""
        if is_fatal(error):
            raise error
        if not isinstance(error, ServeError):
            log.error("reading the prompt of %s failed", call.id, exc_info=error)
        self.refused.append((call, to_serve_error(error)))

    def _opened(self, call: Call[Any]) -> ChatPrompt | None:
        """The call's first prompt, or None if the call is cancelled or its prompts cannot be prepared."""
        if call.cancelled:
            return None
        try:
            first, *others = self._open_prompts(call)
        except Exception as error:
            self.refuse(call, error)
            return None
        self._waiting.extend(others)
        return first
