"""Conversations that are too long for a model's context: their oldest messages are left out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from contract.errors import ContextTooLong
from contract.tasks.chat import ChatRequest, Message
from workers.engine import Call

Prompt = TypeVar("Prompt")
Positions = list[int]

_INSTRUCTIONS = ("system", "developer")
_RESULTS = ("tool", "function")
_MIN_SHARE = 4
"""An answer gets at least this part of the context, or its `max_tokens` if they are fewer: a quarter."""


def fitting_prompt(
    call: Call[ChatRequest],
    read: Callable[[ChatRequest], Prompt],
    length: Callable[[Prompt], int],
    context: int | None,
) -> Prompt:
    """The prompt of a call's conversation, with as many messages as fit if its `truncation` is `auto`.

    Warns of messages that were left out. If even the fewest are too many, they are the prompt, which the caller
    refuses. Raises what `read` raises.
    """
    request = call.request
    if request.truncation != "auto" or context is None:
        return read(request)
    shortener = _Shortener(request, read, length, context)
    left_out, prompt = shortener.shortest_cut()
    if left_out:
        call.warnings.append(
            f"`truncation`: {left_out} of {len(request.messages)} messages, the oldest, were left out: with room for "
            f"an answer, the conversation is longer than the model's context of {context} tokens."
        )
    return prompt


class _Shortener(Generic[Prompt]):
    """Finds out how much of one conversation fits."""

    def __init__(
        self,
        request: ChatRequest,
        read: Callable[[ChatRequest], Prompt],
        length: Callable[[Prompt], int],
        context: int,
    ) -> None:
        self._request, self._read, self._length = request, read, length
        share = context // _MIN_SHARE
        self._longest = context - max(1, min(request.limit or share, share))
        self._groups = droppable(request.messages)
        self._fits: dict[int, Prompt] = {}

    def shortest_cut(self) -> tuple[int, Prompt]:
        """How many messages must be left out, and the prompt without them. Raises ContextTooLong if none fits."""
        groups = len(self._groups)
        # A conversation that fits, the usual case, is read once; others a few times, since reading images is slow.
        cut = 0 if self._is_short(0) else bisect_left(range(1, groups + 1), True, key=self._is_short) + 1
        cut = min(cut, groups)
        left_out = sum(map(len, self._groups[:cut]))
        prompt = self._fits.get(cut)
        return left_out, self._read(self._without(cut)) if prompt is None else prompt

    def _is_short(self, cut: int) -> bool:
        try:
            prompt = self._read(self._without(cut))
        except ContextTooLong:  # its images alone are too many
            return False
        if self._length(prompt) > self._longest:
            return False
        self._fits = {cut: prompt}  # the last that fits is the longest
        return True

    def _without(self, cut: int) -> ChatRequest:
        left_out = {position for group in self._groups[:cut] for position in group}
        kept = [message for position, message in enumerate(self._request.messages) if position not in left_out]
        return self._request.model_copy(update={"messages": kept})


def droppable(messages: Sequence[Message]) -> list[Positions]:
    """The positions of messages that may be left out together, the oldest first.

    First come whole exchanges, since chat templates want a conversation to begin with the user; then the older calls of
    the last exchange, each with its results. Instructions, the last question and its last step always remain.
    """
    exchanges: list[Positions] = []
    after_results = False
    for position, message in enumerate(messages):
        if message.role in _INSTRUCTIONS:
            continue
        # After results, a message of the user may have their images.
        if not exchanges or (message.role == "user" and not after_results):
            exchanges.append([])
        exchanges[-1].append(position)
        after_results = message.role in _RESULTS
    return [*exchanges[:-1], *_steps(messages, exchanges[-1])[1:-1]] if exchanges else []


def _steps(messages: Sequence[Message], exchange: Positions) -> list[Positions]:
    """The question of an exchange, then each message of the assistant with the results that follow it."""
    steps: list[Positions] = []
    for position in exchange:
        if not steps or messages[position].role == "assistant":
            steps.append([])
        steps[-1].append(position)
    return steps
