"""One call of the API: what is sent, and how the answer is read. The sync and the async client both perform them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from client.errors import ServerError, error_of

Answer = TypeVar("Answer")
Known = TypeVar("Known")


@dataclass(frozen=True, slots=True)
class ApiCall(Generic[Answer]):
    """A request whose answer is read whole. `decode` gets the answer's JSON, the bytes of its sound, or its text."""

    method: str
    path: str
    decode: Callable[[Any], Answer]
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventCall(Generic[Answer]):
    """A request that server-sent events answer. `decode` returns None for an event without anything to report.

    `on_comment` gets the stream's comments, with which Enginehouse says what a request waits for. `own_errors`: events
    have a field `error` that is no error of the stream, such as that of a job which has failed.
    """

    method: str
    path: str
    decode: Callable[[Any], Answer | None]
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    on_comment: Callable[[str], None] | None = None
    own_errors: bool = False

    def read(self, line: str) -> Answer | None:
        """What one line of the stream reports. Raises ServerError for an error event, and EOFError for the last one."""
        if line.startswith(":"):
            if self.on_comment and line[1:].strip():
                self.on_comment(line[1:].strip())
            return None
        if not line.startswith("data:"):
            return None
        text = line[5:].strip()
        if text == "[DONE]":
            raise EOFError
        document = json.loads(text)
        error = document.get("error") if isinstance(document, dict) else None
        if isinstance(error, dict) and (not self.own_errors or document.keys() == {"error"}):
            raise error_of(document["error"], 200)
        return self.decode(document)


def body_of(**values: Any) -> dict[str, Any]:
    """The fields of a request that have a value."""
    return {name: value for name, value in values.items() if value is not None}


def known_fields(cls: type[Known], document: Mapping[str, Any], **decoded: Any) -> Known:
    """An instance of a dataclass from the fields of a document that it has; fields of newer servers are ignored."""
    names = {member.name for member in fields(cls)}  # type: ignore[arg-type]
    return cls(**{**{name: value for name, value in document.items() if name in names}, **decoded})


def plain(document: Any) -> Any:
    """The answer as it is."""
    return document


def parse(content: bytes, text: str, content_type: str) -> Any:
    """The JSON of an answer, the bytes of sound, or else the text. Raises ServerError for broken JSON."""
    if content_type.startswith("audio/"):
        return content
    if "json" not in content_type:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ServerError(f"the answer is not valid JSON: {error}") from None
