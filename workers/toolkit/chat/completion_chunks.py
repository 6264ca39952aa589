"""The chunks of one request's completions, in the format of OpenAI's older API."""

from __future__ import annotations

import time
import uuid
from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from typing import Any

from contract.tasks.chat import TokenLogprob
from contract.tasks.completions import CompletionChoice, CompletionLogprobs, CompletionResponse
from workers.toolkit.chat.answer import PromptEcho
from workers.toolkit.chat.chunks import usage_of
from workers.toolkit.chat.logprobs import TokenTexts
from workers.toolkit.chat.output_parser import OutputPiece, TextPiece

_UTF8 = getincrementaldecoder("utf-8")


class CompletionChunks:
    """Makes the chunks of an answer, which all have one id, and counts where in the text each token begins."""

    def __init__(self, model: str) -> None:
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = model
        self._offsets: dict[int, _Offset] = {}

    def echo(self, index: int, echo: PromptEcho, texts: TokenTexts) -> CompletionResponse:
        """The first chunk of a choice that begins with its prompt."""
        chunk = self._chunk(index, echo.text)
        if echo.first is not None:
            first = texts.text(echo.first)
            offset = self._offsets.setdefault(index, _Offset())
            offset.skip("" if echo.is_hidden else first)
            logprobs = CompletionLogprobs(tokens=[first], token_logprobs=[None], top_logprobs=[None], text_offset=[0])
            logprobs.extend(self._logprobs(index, [texts.entry(picked) for picked in echo.picked]))
            chunk.choices[0].logprobs = logprobs
        return chunk

    def pieces(self, index: int, pieces: Sequence[OutputPiece]) -> Iterator[CompletionResponse]:
        """The chunks of some pieces of a choice's text."""
        for piece in pieces:
            if isinstance(piece, TextPiece) and piece.text:
                yield self._chunk(index, piece.text)

    def end(self, index: int, reason: str, stop: str | None = None) -> CompletionResponse:
        """The last chunk of a choice: `stop` or `length`, and the stop sequence that ended it."""
        chunk = self._chunk(index, "")
        chunk.choices[0].finish_reason, chunk.choices[0].stop_reason = reason, stop
        return chunk

    def report(self, chunk: CompletionResponse, logprobs: list[TokenLogprob]) -> None:
        """Put the probabilities of tokens into a chunk of one choice."""
        choice = chunk.choices[0]
        choice.logprobs = self._logprobs(choice.index, logprobs)

    def usage(
        self, prompt_tokens: int, completion_tokens: int, reasoning_tokens: int, cached_tokens: int
    ) -> CompletionResponse:
        """The last chunk of the answer, with the number of its tokens."""
        usage = usage_of(prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens)
        return self._frame(choices=[], usage=usage)

    def _logprobs(self, index: int, tokens: Sequence[TokenLogprob]) -> CompletionLogprobs:
        offset = self._offsets.setdefault(index, _Offset())
        return CompletionLogprobs(
            tokens=[token.token for token in tokens],
            token_logprobs=[token.logprob for token in tokens],
            top_logprobs=[_alternatives(token) for token in tokens],
            text_offset=[offset.next(token) for token in tokens],
        )

    def _chunk(self, index: int, text: str) -> CompletionResponse:
        return self._frame(choices=[CompletionChoice(index=index, text=text)])

    def _frame(self, **content: Any) -> CompletionResponse:
        return CompletionResponse(id=self._id, created=self._created, model=self._model, **content)


class _Offset:
    """Where the next token begins, in characters. A character that takes several tokens counts with its last one."""

    def __init__(self) -> None:
        self._characters = 0
        self._decoder = _UTF8(errors="replace")

    def skip(self, text: str) -> None:
        self._characters += len(text)

    def next(self, token: TokenLogprob) -> int:
        begin = self._characters
        self._characters += len(self._decoder.decode(bytes(token.bytes or ())))
        return begin


def _alternatives(token: TokenLogprob) -> dict[str, float]:
    """The most probable tokens there and the token itself, each with its probability."""
    alternatives = {other.token: other.logprob for other in reversed(token.top_logprobs)}
    return dict(reversed(alternatives.items())) | {token.token: token.logprob}
