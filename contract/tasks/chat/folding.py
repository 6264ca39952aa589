"""Combines the chunks of a streamed chat into the whole response."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from contract.tasks.chat.response import (
    AnsweredCall,
    AnsweredFunction,
    AssistantMessage,
    ChatChunk,
    ChatResponse,
    ChatUsage,
    Choice,
    ChunkChoice,
    FunctionDelta,
    Logprobs,
    TokenLogprob,
    ToolCallDelta,
)


@dataclass
class _FoldedCall:
    id: str = ""
    type: str = "function"
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def add(self, delta: ToolCallDelta) -> None:
        self.id = delta.id or self.id
        self.type = delta.type or self.type
        if delta.function:
            self.add_function(delta.function)

    def add_function(self, delta: FunctionDelta) -> None:
        self.name = delta.name or self.name
        self.arguments.append(delta.arguments or "")

    def function(self) -> AnsweredFunction:
        return AnsweredFunction(name=self.name, arguments="".join(self.arguments))

    def whole(self) -> AnsweredCall:
        return AnsweredCall(id=self.id, type=self.type, function=self.function())


@dataclass
class _FoldedChoice:
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: dict[int, _FoldedCall] = field(default_factory=dict)
    function: _FoldedCall | None = None
    logprobs: dict[str, list[TokenLogprob]] = field(default_factory=dict)
    reason: str = "stop"
    stop: str | int | None = None

    def add(self, choice: ChunkChoice) -> None:
        delta = choice.delta
        self.texts.append(delta.content or "")
        thought = delta.reasoning_content or delta.reasoning
        if thought is not None:
            self.thoughts.append(thought)
        for call in delta.tool_calls or ():
            self.calls.setdefault(call.index, _FoldedCall()).add(call)
        if delta.function_call:
            self.function = self.function or _FoldedCall()
            self.function.add_function(delta.function_call)
        for name in ("content", "refusal") if choice.logprobs else ():
            if (tokens := getattr(choice.logprobs, name)) is not None:
                self.logprobs.setdefault(name, []).extend(tokens)
        self.reason = choice.finish_reason or self.reason
        self.stop = choice.stop_reason if choice.stop_reason is not None else self.stop

    def whole(self, index: int) -> Choice:
        text = "".join(self.texts)
        thoughts = "".join(self.thoughts) if self.thoughts else None
        message = AssistantMessage(
            content=None if not text and (self.calls or self.function) else text,
            reasoning_content=thoughts,
            reasoning=thoughts,
            tool_calls=[call.whole() for _, call in sorted(self.calls.items())] or None,
            function_call=self.function.function() if self.function else None,
        )
        logprobs = Logprobs.model_validate(self.logprobs) if self.logprobs else None
        return Choice(index=index, message=message, finish_reason=self.reason, stop_reason=self.stop, logprobs=logprobs)


def fold(chunks: Iterable[ChatChunk]) -> ChatResponse:
    """Combine all chunks into the whole response."""
    choices: dict[int, _FoldedChoice] = {}
    warnings: list[str] = []
    last: ChatChunk | None = None
    usage: ChatUsage | None = None
    for last in chunks:
        usage = last.usage or usage
        warnings += last.warnings or ()
        for choice in last.choices:
            choices.setdefault(choice.index, _FoldedChoice()).add(choice)
    assert last is not None, "an engine's chat method must yield at least one chunk"
    return ChatResponse(
        id=last.id,
        created=last.created,
        model=last.model,
        choices=[choice.whole(index) for index, choice in sorted(choices.items())],
        usage=usage,
        warnings=warnings or None,
    )
