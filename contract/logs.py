"""The logs of programs and models, as pages of lines."""

from __future__ import annotations

from pydantic import BaseModel


class LogFile(BaseModel):
    """A log. `older` is how many rotated files there are before it; `modified` is in seconds since 1970."""

    name: str
    kind: str
    bytes: int
    modified: float
    older: int = 0


class LogFiles(BaseModel):
    """The response of `GET /v1/system/logs`."""

    logs: list[LogFile]


class LogLine(BaseModel):
    """A line, which begins at the byte `position` of its file. What it has of terminal escapes is part of the text."""

    position: int
    text: str


class LogPage(BaseModel):
    """Lines of a log, the oldest first. `end` is the position after the last one.

    The page before ends at `before`; at 0, this is the first one of its file. `has_older`: a rotated file comes before.
    """

    name: str
    older: int
    lines: list[LogLine]
    before: int
    end: int
    size: int
    has_older: bool
