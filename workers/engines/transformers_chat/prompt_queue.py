"""What waits for a row: calls whose prompt has not been opened yet, and choices of those whose has."""

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
    """First come, first served, a row at a time: a request for a hundred choices keeps no other from its one.

    `open_prompt` makes a call's prompt. It is called when a call's turn comes, and not before: a prompt with images
    is big.
    """

    def __init__(self, open_prompt: Callable[[Call[ChatRequest]], ChatPrompt]) -> None:
        self.refused: deque[tuple[Call[Any], ServeError]] = deque()
        """Calls that get no answer, and why."""
        self._open_prompt = open_prompt
        self._waiting: deque[Call[ChatRequest] | ChatPrompt] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def newcomers(self) -> int:
        """How many calls wait for their first row."""
        return sum(isinstance(item, Call) or item.choices[0].index == 0 for item in self._waiting)

    def add(self, calls: Iterable[Call[ChatRequest]]) -> None:
        """Let them wait behind all others."""
        self._waiting.extend(calls)

    def put_back(self, prompts: Iterable[ChatPrompt]) -> None:
        """Let them be the next again."""
        self._waiting.extendleft(reversed(list(prompts)))

    def next(self, room: int) -> ChatPrompt | None:
        """The next prompt, with no more choices than there is room for; the others wait for their turn again."""
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
        """Give a call up. Raises the error if it has broken the process."""
        if is_fatal(error):
            raise error
        if not isinstance(error, ServeError):
            log.error("the prompt of %s could not be read", call.id, exc_info=error)
        self.refused.append((call, to_serve_error(error)))

    def _opened(self, call: Call[ChatRequest]) -> ChatPrompt | None:
        """A call's prompt. A request for what cannot be is refused by itself."""
        try:
            return None if call.cancelled else self._open_prompt(call)
        except Exception as error:
            self.refuse(call, error)
            return None
