"""What a batch is: the requests in a file, one a line, that run as jobs; how lines are read and results are written."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, BinaryIO

from contract.errors import ServeError
from contract.json_parser import parse_json
from gateway.jobs.files import lines

MAX_ERRORS = 50
"""Errors of a file that are reported; more are of no use."""


class BatchState(StrEnum):
    """OpenAI's states of a batch."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch. Times are seconds since the epoch; `keep_output` is how long its output files stay.

    `lines_read` and `bytes_read` say how much of its file has become jobs. `completed` and `failed` are set at its end.
    """

    owner: str
    endpoint: str
    input_file: str
    completion_window: str
    metadata: str | None
    keep_output: float | None
    expires: float
    created: float
    state: BatchState = BatchState.VALIDATING
    in_progress: float | None = None
    cancelling: float | None = None
    finalizing: float | None = None
    ended: float | None = None
    total: int = 0
    lines_read: int = 0
    bytes_read: int = 0
    completed: int = 0
    failed: int = 0
    output_file: str | None = None
    error_file: str | None = None
    errors: str | None = None
    id: str = field(default_factory=lambda: f"batch_{uuid.uuid4().hex}")


BATCH_NAMES = tuple(field.name for field in dataclasses.fields(StoredBatch))


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A request of a batch."""

    custom_id: str
    body: bytes


class LineProblem(Exception):
    """Why a line cannot be run: a code, a sentence, and the field if it is one."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


def read_line(text: bytes, endpoint: str, longest: int) -> BatchLine:
    """The request in a line. Raises LineProblem."""
    if len(text) > longest:
        raise LineProblem("line_too_long", f"A line may have at most {longest / 2**20:g} MiB (gateway.max_body_mb).")
    try:
        document = parse_json(text)
    except (ValueError, RecursionError, ServeError) as error:
        raise LineProblem("invalid_json_line", f"The line is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise LineProblem("invalid_json_line", "The line is not a JSON object.")
    custom_id, body = document.get("custom_id"), document.get("body")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= 512 or "\0" in custom_id:
        raise LineProblem("invalid_custom_id", "`custom_id` must be a text of 1 to 512 characters.", "custom_id")
    if document.get("method") != "POST":
        raise LineProblem("invalid_method", '`method` must be "POST".', "method")
    if document.get("url") != endpoint:
        raise LineProblem("mismatched_url", f"`url` must be {endpoint}, the endpoint of the batch.", "url")
    if not isinstance(body, dict):
        raise LineProblem("invalid_body", "`body` must be the JSON object that the endpoint takes.", "body")
    return BatchLine(custom_id, json.dumps(body, ensure_ascii=False).encode())


def check_file(file: BinaryIO, endpoint: str, longest: int, max_lines: int) -> tuple[int, list[dict[str, Any]]]:
    """How many requests a file has, and what is wrong with it."""
    seen: set[str] = set()
    errors: list[dict[str, Any]] = []
    for number, text in enumerate(lines(file, longest), start=1):
        if not text.strip():
            continue
        try:
            custom_id = read_line(text, endpoint, longest).custom_id
            if custom_id in seen:
                message = f"{custom_id!r} is the `custom_id` of another line."
                raise LineProblem("duplicate_custom_id", message, "custom_id")
            if len(seen) >= max_lines:
                raise LineProblem("too_many_lines", f"A batch may have at most {max_lines} requests.")
            seen.add(custom_id)
        except LineProblem as problem:
            errors.append({"code": problem.code, "message": problem.message, "param": problem.param, "line": number})
            if len(errors) >= MAX_ERRORS or problem.code == "too_many_lines":
                break
    if not seen and not errors:
        errors.append({"code": "empty_file", "message": "The file has no requests.", "param": None, "line": None})
    return len(seen), errors


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request of a batch ended. `error` is the `error` of an envelope; `reason` why it did not run at all."""

    job_id: str
    custom_id: str
    status: int | None = None
    body: bytes = b""
    is_json: bool = True
    error: dict[str, Any] | None = None
    reason: str | None = None


def written(outcome: Outcome) -> Iterator[bytes]:
    """The line of an output or error file. A result is put in as it is, without being parsed."""
    number = outcome.job_id.removeprefix("job_")
    head = json.dumps({"id": f"batch_req_{number}", "custom_id": outcome.custom_id}, ensure_ascii=False)[:-1].encode()
    if outcome.reason:
        message = f"The batch was {outcome.reason} before this request had ended."
        error = json.dumps({"code": f"batch_{outcome.reason}", "message": message}).encode()
        yield head + b', "response": null, "error": ' + error + b"}\n"
        return
    yield head + b', "response": {"status_code": %d, "request_id": "%s", "body": ' % (
        outcome.status or 200,
        outcome.job_id.encode(),
    )
    if outcome.error is not None:
        yield json.dumps({"error": outcome.error}, ensure_ascii=False).encode()
    elif outcome.is_json:
        yield outcome.body.replace(b"\r", b" ").replace(b"\n", b" ")  # in JSON, line breaks are outside of texts
    else:
        yield json.dumps(outcome.body.decode("utf-8", "replace"), ensure_ascii=False).encode()
    yield b'}, "error": null}\n'
