"""The response of a completion, whole or in chunks, in OpenAI's format.

Source: platform.openai.com/docs/api-reference/completions/object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from contract.omittable import Omittable
from contract.tasks import Response
from contract.tasks.chat.open_model import OpenModel
from contract.tasks.chat.response import ChatUsage


class CompletionLogprobs(OpenModel):
    """The tokens of a text, each with the natural logarithm of its probability, and the most probable ones there.

    A prompt's first token has no probability, so its entries are null. `text_offset` is the number of characters in
    front of each token.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]

    def extend(self, more: CompletionLogprobs) -> None:
        """Add the tokens of a later piece of the text."""
        self.tokens += more.tokens
        self.token_logprobs += more.token_logprobs
        self.top_logprobs += more.top_logprobs
        self.text_offset += more.text_offset


class CompletionChoice(OpenModel):
    """A completion, or a piece of it; `finish_reason` is `stop` or `length`, and null until it ends.

    `stop_reason`, which is vLLM's field, is the stop sequence that ended it, if one did.
    """

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: str | None = None
    stop_reason: Omittable[str | int] = None


class CompletionResponse(Response):
    """All completions, or a piece of one of them. A stream's last piece has `usage` and no choices."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: ChatUsage | None = None


def fold(chunks: Iterable[CompletionResponse]) -> CompletionResponse:
    """Combine all pieces into the whole response."""
    first: CompletionResponse | None = None
    texts: dict[int, list[str]] = {}
    choices: dict[int, CompletionChoice] = {}
    warnings: list[str] = []
    for chunk in chunks:
        first = first or chunk
        first.usage = chunk.usage or first.usage
        warnings += chunk.warnings or ()
        for piece in chunk.choices:
            texts.setdefault(piece.index, []).append(piece.text)
            _add(choices.setdefault(piece.index, CompletionChoice(index=piece.index, text="")), piece)
    assert first is not None, "an engine's method yields at least one chunk"
    for index, choice in choices.items():
        choice.text = "".join(texts[index])
    ordered = [choices[index] for index in sorted(choices)]
    return first.model_copy(update={"choices": ordered, "warnings": warnings or None})


def _add(choice: CompletionChoice, piece: CompletionChoice) -> None:
    """Add a piece of a choice, apart from its text."""
    choice.finish_reason = piece.finish_reason or choice.finish_reason
    choice.stop_reason = choice.stop_reason if piece.stop_reason is None else piece.stop_reason
    if piece.logprobs and choice.logprobs:
        choice.logprobs.extend(piece.logprobs)
    elif piece.logprobs:
        choice.logprobs = piece.logprobs.model_copy(deep=True)
