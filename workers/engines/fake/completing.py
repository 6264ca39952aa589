"""Completions of the fake model: every prompt is repeated, one word per step."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

from contract.tasks.chat import ChatUsage
from contract.tasks.completions import CompletionChoice, CompletionRequest, CompletionResponse
from workers.engines.fake.words import count, words_of


def completion_chunks(request: CompletionRequest, model: str) -> Iterator[CompletionResponse]:
    """The chunks of the answer to a request, prompt by prompt."""
    texts = [prompt if isinstance(prompt, str) else " ".join(map(str, prompt)) for prompt in request.prompts]
    name = f"cmpl-{hashlib.sha256(repr(texts).encode()).hexdigest()[:16]}"
    created, read, written = int(time.time()), sum(count(text) for text in texts), 0

    def chunk(choices: list[CompletionChoice], usage: ChatUsage | None = None) -> CompletionResponse:
        return CompletionResponse(id=name, created=created, model=model, choices=choices, usage=usage)

    for index, text in enumerate(text for text in texts for _ in range(request.n or 1)):
        words, reason = _words(text, request)
        if request.echo:
            yield chunk([CompletionChoice(index=index, text=text)])
        for word in words:
            written += 1
            yield chunk([CompletionChoice(index=index, text=word)])
        yield chunk([CompletionChoice(index=index, text="", finish_reason=reason)])
    yield chunk([], ChatUsage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written))


def _words(text: str, request: CompletionRequest) -> tuple[list[str], str]:
    for stop in request.stops:
        text = text.partition(stop)[0]
    words = [f" {word}" if number else word for number, word in enumerate(words_of(text))]
    limit = len(words) if request.limit is None else request.limit
    return words[:limit], "length" if limit < len(words) else "stop"
