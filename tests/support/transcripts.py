"""Requests for transcripts, and the answers of an engine that runs in this process."""

from __future__ import annotations

from typing import Any

from contract.tasks.transcription import TranscriptionRequest, TranscriptionResponse
from tests.support.batching import answered_together


def request(content: bytes, **fields: Any) -> TranscriptionRequest:
    return TranscriptionRequest.model_validate({"file": content, "response_format": "verbose_json", **fields})


def outputs(engine: Any, *requests: Any) -> list[list[Any]]:
    """What the engine yields for each of several requests, all answered together."""
    return answered_together(engine.answer, requests)


def ask(engine: Any, *requests: Any) -> list[Any]:
    """Each request's whole answer, or its error."""
    return [events[-1] or events[-2].whole for events in outputs(engine, *requests)]


def transcript(engine: Any, content: bytes, **fields: Any) -> TranscriptionResponse:
    [answer] = ask(engine, request(content, **fields))
    assert isinstance(answer, TranscriptionResponse), answer
    return answer
