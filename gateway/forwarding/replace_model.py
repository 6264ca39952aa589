"""Replaces the model's name in a JSON body and leaves every other byte as it came."""

from __future__ import annotations

import json
import re

_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKEN = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_VALUE = re.compile(rb"\s*:\s*(" + _STRING + rb"|[^\s,}]+)", re.DOTALL)
_LONGEST_KEY = len(json.dumps("model")) * 6
"""Every letter of a key may be written as an escape of six."""


def replace_model(body: bytes, model: str) -> bytes:
    """The body with `model` as its model; `body` must be a valid JSON object.

    A body may be many megabytes of one string: it is scanned, not parsed, so that there is never more than the old and
    the new one.
    """
    name = json.dumps(model).encode()
    spans, begin = _models(body)
    if not spans:
        empty = body[begin:].lstrip()[:1] == b"}"
        return b"".join((body[:begin], b'"model":', name, b"" if empty else b",", memoryview(body)[begin:]))
    parts: list[bytes | memoryview] = []
    view, done = memoryview(body), 0
    for start, end in spans:
        parts += [view[done:start], name]
        done = end
    return b"".join([*parts, view[done:]])


def _models(body: bytes) -> tuple[list[tuple[int, int]], int]:
    """Where the values of the outermost `model` keys stand (a parser takes the last), and where the object begins."""
    depth, begin = 0, 0
    spans: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(body):
        kind = body[token.start()]
        if kind in b"{[":
            depth += 1
            begin = begin or token.end()
        elif kind in b"}]":
            depth -= 1
        elif depth == 1 and token.end() - token.start() <= _LONGEST_KEY:
            value = _VALUE.match(body, token.end())
            if value and json.loads(token.group()) == "model":
                spans.append(value.span(1))
    return spans, begin
