"""The answers of Ollama's API: whole, or as lines of JSON of which the last has the counts and durations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from contract.errors import ServeError
from contract.lazy_model import LazyModel
from contract.omittable import Omittable
from contract.tasks.chat import ChatChunk, ChatResponse, ChatUsage, Logprobs, TokenLogprob
from contract.tasks.completions import CompletionResponse
from gateway.dialects.dialect import DialectResponse, StreamEvent, TimedResponse
from gateway.dialects.ollama.request import GenerationRequest, OllamaChatRequest, OllamaGenerateRequest


class OllamaAnswer(TimedResponse):
    """What all answers have: `done` is false in all lines of a stream but the last. Durations are in nanoseconds."""

    model: str
    created_at: str
    done: bool = True
    done_reason: Omittable[str] = None
    prompt_eval_count: Omittable[int] = None
    eval_count: Omittable[int] = None
    logprobs: Omittable[list[TokenLogprob]] = None


class WrittenFunction(LazyModel):
    name: str
    arguments: dict[str, Any]


class WrittenToolCall(LazyModel):
    id: str
    function: WrittenFunction


class WrittenMessage(LazyModel):
    """The model's message, or the next piece of it."""

    role: str = "assistant"
    content: str = ""
    thinking: Omittable[str] = None
    tool_calls: Omittable[list[WrittenToolCall]] = None


class OllamaChatResponse(OllamaAnswer):
    """The model's message."""

    message: WrittenMessage


class OllamaGenerateResponse(OllamaAnswer):
    """The model's text."""

    response: str = ""
    thinking: Omittable[str] = None


class OllamaEmbedResponse(TimedResponse):
    """A vector for each text."""

    model: str
    embeddings: list[list[float]]
    prompt_eval_count: int


class OllamaEmbeddingsResponse(DialectResponse):
    """The vector of the text."""

    embedding: list[float]


class ErrorLine(LazyModel):
    """The last line of a stream that broke off."""

    error: str


def timestamp(created: float) -> str:
    """A time as the API writes it."""
    return datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")


def whole(request: GenerationRequest, response: ChatResponse) -> OllamaAnswer:
    """A whole chat as the answer to a request."""
    choice = response.choices[0]
    said = choice.message
    calls = [written(call.id, call.function.name, call.function.arguments) for call in said.tool_calls or ()]
    message = WrittenMessage(
        content=said.content or "", thinking=said.reasoning_content or said.reasoning, tool_calls=calls or None
    )
    ending = {"done_reason": _reason(choice.finish_reason), **_counts(response.usage)}
    return answered(request, response.created, message, choice.logprobs, **ending)


def completed(request: GenerationRequest, response: CompletionResponse) -> OllamaAnswer:
    """A whole completion as the answer to a request."""
    choice = response.choices[0]
    ending = {"done_reason": _reason(choice.finish_reason), **_counts(response.usage)}
    return answered(request, response.created, WrittenMessage(content=choice.text), None, **ending)


def written(call_id: str, name: str, arguments: str) -> WrittenToolCall:
    """A call, with its arguments as an object. Those of a call that was cut off are as far as it came."""
    try:
        parsed = from_json(arguments or "{}", allow_partial=True)
    except ValueError:
        parsed = None
    function = WrittenFunction(name=name, arguments=parsed if isinstance(parsed, dict) else {})
    return WrittenToolCall(id=call_id, function=function)


def answered(
    request: GenerationRequest, created: float, message: WrittenMessage, logprobs: Logprobs | None, **ending: Any
) -> OllamaAnswer:
    """An answer, or a line of it, in the form of the request's path."""
    fields = {"model": request.model, "created_at": timestamp(created), **ending}
    fields["logprobs"] = logprobs and logprobs.content
    if isinstance(request, OllamaChatRequest):
        return OllamaChatResponse(message=message, **fields)
    return OllamaGenerateResponse(response=message.content, thinking=message.thinking, **fields)


def _reason(finish_reason: str | None) -> str:
    return "length" if finish_reason == "length" else "stop"


def _counts(usage: ChatUsage | None) -> dict[str, int]:
    if usage is None:
        return {}
    return {"prompt_eval_count": usage.prompt_tokens, "eval_count": usage.completion_tokens}


class OllamaEvents:
    """Translates the stream of a chat. A call is sent when it is complete, since its arguments are an object."""

    def __init__(self, request: GenerationRequest) -> None:
        self._request = request
        self._created = 0.0
        self._reason = "stop"
        self._usage: ChatUsage | None = None
        self._calls: dict[int, list[str]] = {}  # the id, name and arguments of calls that are not sent yet

    def chunk(self, chunk: ChatChunk) -> Iterator[StreamEvent]:
        """The lines for a piece of the answer."""
        self._created = chunk.created
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            delta = choice.delta
            for call in delta.tool_calls or ():
                if call.index not in self._calls:
                    yield from self._complete_calls()
                parts = self._calls.setdefault(call.index, [call.id or "", "", ""])
                if call.function:
                    parts[1] = parts[1] or call.function.name or ""
                    parts[2] += call.function.arguments or ""
            thought = delta.reasoning_content or delta.reasoning
            if delta.content or thought or choice.logprobs:
                yield self._line(WrittenMessage(content=delta.content or "", thinking=thought), choice.logprobs)
            if choice.finish_reason:
                self._reason = _reason(choice.finish_reason)

    def close(self) -> Iterator[StreamEvent]:
        """The last calls, and the line with the counts."""
        yield from self._complete_calls()
        ending = {"done_reason": self._reason, **_counts(self._usage)}
        yield StreamEvent(answered(self._request, self._created, WrittenMessage(), None, **ending))

    def fail(self, error: ServeError, request_id: str) -> Iterator[StreamEvent]:  # noqa: ARG002 - has no place for it
        """A line with the error."""
        yield StreamEvent(ErrorLine(error=error.message))

    def _complete_calls(self) -> Iterator[StreamEvent]:
        calls = [written(*parts) for parts in self._calls.values()]
        self._calls.clear()
        if calls:
            yield self._line(WrittenMessage(tool_calls=calls), None)

    def _line(self, message: WrittenMessage, logprobs: Logprobs | None) -> StreamEvent:
        return StreamEvent(answered(self._request, self._created, message, logprobs, done=False))


class CompletionEvents(OllamaEvents):
    """Translates the stream of a completion."""

    def chunk(self, chunk: Any) -> Iterator[StreamEvent]:
        self._created = chunk.created
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            if choice.text:
                yield self._line(WrittenMessage(content=choice.text), None)
            if choice.finish_reason:
                self._reason = _reason(choice.finish_reason)


def events(request: GenerationRequest) -> OllamaEvents:
    """The translator of a request's stream."""
    is_completion = isinstance(request, OllamaGenerateRequest) and request.is_completion
    return CompletionEvents(request) if is_completion else OllamaEvents(request)


def embed(model: str, response: Any) -> OllamaEmbedResponse:
    """The vectors of a response in order."""
    vectors: Sequence[Any] = [item.embedding for item in response.data]
    return OllamaEmbedResponse(model=model, embeddings=vectors, prompt_eval_count=response.usage.prompt_tokens)
