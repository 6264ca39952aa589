"""The state of one chat answer: its choices, when and why each is finished, and the chunks to send to the client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol

from contract.errors import ServeError
from contract.tasks import Response
from contract.tasks.chat import ChatRequest, TokenLogprob
from workers.engine import Call
from workers.toolkit.chat.chunks import ChatChunks
from workers.toolkit.chat.constraints.token_constraint import TokenConstraint
from workers.toolkit.chat.detokenizer import Detokenizer, StopStrings
from workers.toolkit.chat.logprobs import PickedToken
from workers.toolkit.chat.output_parser import OutputParser, OutputPiece, PlainText, TextPiece
from workers.toolkit.chat.tool_formats.base import WrittenCall
from workers.toolkit.chat.tool_formats.call_pieces import CallEnd


class OutputReader:
    """Reads tokens as thoughts, calls and text, as they are generated."""

    def __init__(self, decode: Callable[[list[int]], str], parser: OutputParser | None = None) -> None:
        self._detokenizer = Detokenizer(decode)
        self._parser: OutputParser = parser or PlainText()

    @property
    def is_thinking(self) -> bool:
        """Whether the tokens so far end inside a thought."""
        return self._parser.is_thinking

    def push(self, token: int) -> Iterator[OutputPiece]:
        """Add a token. Yields what is certain now."""
        yield from self._parser.push(self._detokenizer.push(token))

    def flush(self) -> Iterator[OutputPiece]:
        """Yield what was held back, after the last token."""
        yield from self._parser.push(self._detokenizer.flush())
        yield from self._parser.flush()


NO_TOKEN = -1
"""In place of a choice's next token: the model's scores are not numbers."""

AnswerEvent = tuple[Call[Any], Response | ServeError | None]
"""What an engine yields of an answer: a chunk, its error, or None at its end."""


@dataclass(slots=True)
class PromptEcho:
    """The prompt that a completion begins with.

    If its tokens are reported, `first` is the first one, and `picked` are the others once they are read. `is_hidden`:
    the first token, such as BOS, is not in the text.
    """

    text: str
    first: int | None = None
    is_hidden: bool = False
    picked: Sequence[PickedToken] = ()


class ChatChoice:
    """One of the `n` choices of a request: takes tokens, returns text, and knows when it is finished."""

    def __init__(self, answer: ChatAnswer, index: int, sampler: Any, output: OutputReader, limit: int = 1) -> None:
        self.answer = answer
        self.index = index
        self.sampler = sampler
        self.limit = limit  # the maximum number of tokens
        self.tokens = 0  # the number of tokens so far
        self.thought_tokens = 0  # how many of them were thoughts
        self.finish_reason: str | None = None  # "stop", "length" or "tool_calls", once finished
        self.constraint: TokenConstraint | None = None  # what the answer must keep to
        self.prompt = 0  # the number of its prompt, for requests with several
        self.echo: PromptEcho | None = None  # the prompt, if the choice begins with it
        self.logprobs: list[TokenLogprob] = []  # of tokens that no chunk has reported yet
        self._output = output
        self._stops = StopStrings(answer.call.request.stops)
        self._takes_one_call = answer.takes_one_call
        self._has_called = False

    @property
    def is_finished(self) -> bool:
        """Whether it needs no further token: it is complete, its answer failed, or its call was cancelled."""
        return self.finish_reason is not None or self.answer.failed or self.answer.call.cancelled

    @property
    def stop(self) -> str | None:
        """The stop sequence that ended it, if one did."""
        return self._stops.matched

    @property
    def is_ready(self) -> bool:
        """Whether its tokens can be picked: the grammar that it must keep to, if any, is compiled."""
        return self.constraint is None or self.constraint.is_compiled

    def push(self, token: int, end_tokens: Set[int]) -> list[OutputPiece]:
        """Add the next token. Returns what can be sent now. A token in `end_tokens` ends the choice."""
        self.tokens += 1
        self.thought_tokens += self._output.is_thinking
        if token in end_tokens:
            return self._finish("stop")
        if self.constraint is not None:
            self.constraint.advance(self.tokens, token)
        pieces = list(self._until_finished(self._output.push(token)))
        if self.finish_reason is None and self.constraint is not None and self.constraint.is_complete(self.tokens):
            return pieces + self._finish("stop")
        if self.finish_reason is None and self.tokens >= self.limit:
            return pieces + self._finish("length")
        return pieces

    def end_at_once(self) -> None:
        """Finish without a token, because the request asks for none."""
        self.finish_reason = "length"

    def take_logprobs(self) -> list[TokenLogprob]:
        """The probabilities of the tokens since the last chunk."""
        logprobs, self.logprobs = self.logprobs, []
        return logprobs

    def _until_finished(self, pieces: Iterable[OutputPiece]) -> Iterator[OutputPiece]:
        """The pieces up to a stop string in the answer, or up to the only call that the request allows."""
        for piece in pieces:
            if not isinstance(piece, TextPiece):
                yield from self._text(self._stops.flush())
                yield piece
                is_complete = isinstance(piece, WrittenCall | CallEnd)
                self._has_called |= is_complete
                if is_complete and self._takes_one_call:
                    self.finish_reason = "tool_calls"
            elif piece.is_thought:
                yield piece
            else:
                yield from self._text(self._stops.push(piece.text))
                if self._stops.is_matched:
                    self.finish_reason = self._reason("stop")
            if self.finish_reason:
                return

    def _finish(self, reason: str) -> list[OutputPiece]:
        """Finish, and return what was held back: up to a stop string in it, or up to the only call."""
        pieces = list(self._until_finished(self._output.flush()))
        if self.finish_reason is None:
            self.finish_reason = self._reason(reason)
            pieces += self._text(self._stops.flush())
        return pieces

    def _reason(self, reason: str) -> str:
        return "tool_calls" if self._has_called and reason == "stop" else reason

    @staticmethod
    def _text(text: str) -> list[OutputPiece]:
        return [TextPiece(text)] if text else []


class AnswerChunks(Protocol):
    """Makes the chunks of an answer in the format of its task."""

    def pieces(self, index: int, pieces: Sequence[OutputPiece]) -> Iterator[Response]:
        """The chunks of some pieces of a choice."""

    def end(self, index: int, reason: str, stop: str | None = None) -> Response:
        """The last chunk of a choice, with its finish reason, and the stop sequence that ended it."""

    def report(self, chunk: Any, logprobs: list[TokenLogprob]) -> None:
        """Put the probabilities of tokens into a chunk of one choice."""

    def usage(self, prompt_tokens: int, completion_tokens: int, reasoning_tokens: int, cached_tokens: int) -> Response:
        """The last chunk of the answer, with the number of its tokens."""


class ChatAnswer:
    """The answer to one call: all of its choices under one id, in the format of `chunks`.

    `takes_one_call`: a choice ends with its first call of a tool.
    """

    def __init__(self, call: Call[Any], chunks: AnswerChunks, *, takes_one_call: bool = False) -> None:
        self.call = call
        self.written = chunks
        self.takes_one_call = takes_one_call
        self.reports_ends = False  # whether the token that ends a choice is reported, as in completions
        self.prompt_tokens = 0
        self.failed = False  # if one choice fails, the whole answer does
        self.choices: list[ChatChoice] = []
        self._cached: dict[int, int] = {}  # how many tokens of each prompt were not read again, once it is read

    @property
    def is_complete(self) -> bool:
        """Whether all choices are complete."""
        return all(choice.finish_reason for choice in self.choices)

    def reports(self, token: int, ends: Set[int]) -> bool:
        """Whether a token is reported with its probability."""
        return self.reports_ends or token not in ends

    def note_cached(self, choice: ChatChoice, tokens: int) -> None:
        """Note how many tokens of a choice's prompt were not read again. Of several readings the first counts.

        A prompt is read again for choices that found no free row.
        """
        self._cached.setdefault(choice.prompt, tokens)

    def chunks(self, choice: ChatChoice, pieces: Sequence[OutputPiece]) -> Iterator[Response]:
        """The chunks to send after a token of `choice` that completed these pieces."""
        yield from self.written.pieces(choice.index, pieces)
        if choice.finish_reason:
            yield self.written.end(choice.index, choice.finish_reason, choice.stop)

    def advance(self, choice: ChatChoice, token: int, end_tokens: Set[int]) -> Iterator[AnswerEvent]:
        """Add the next token to a choice. Yields what to send, as engines do: chunks, then None after the last.

        Yields an error instead if the choice can no longer keep to its constraint.
        """
        pieces = choice.push(token, end_tokens)
        if choice.constraint is not None and choice.constraint.error is not None:
            self.failed = True
            yield self.call, choice.constraint.error
            return
        self.call.progress(choice.tokens, choice.limit)
        yield from self.send(choice, pieces)

    def send(self, choice: ChatChoice, pieces: Sequence[OutputPiece]) -> Iterator[AnswerEvent]:
        """Yield the chunks of these pieces, and the end of the choice and of the answer once they are finished."""
        for chunk in self.chunks(choice, pieces):
            if logprobs := choice.take_logprobs():
                self.written.report(chunk, logprobs)
            yield self.call, chunk
        if self.is_complete:
            yield self.call, self.usage()
            yield self.call, None

    def fail(self, error: ServeError) -> Iterator[tuple[Call[Any], ServeError]]:
        """End the answer with an error. Yields it as engines do, once."""
        if not self.failed:
            self.failed = True
            yield self.call, error

    def usage(self) -> Response:
        """The last chunk, which has the number of tokens of prompt and choices."""
        tokens, thoughts = (
            sum(getattr(choice, name) for choice in self.choices) for name in ("tokens", "thought_tokens")
        )
        return self.written.usage(self.prompt_tokens, tokens, thoughts, sum(self._cached.values()))


def chat_answer(call: Call[ChatRequest], model: str, *, id_length: int | None = None) -> ChatAnswer:
    """The answer to a chat. `id_length` is the length of call ids if the model's chat template prescribes one."""
    use = call.request.tool_use
    chunks = ChatChunks(call.request.model or model, id_length=id_length, is_legacy=use.is_legacy)
    return ChatAnswer(call, chunks, takes_one_call=not use.parallel)
