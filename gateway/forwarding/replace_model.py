"""Replaces the value of `model` in a JSON body and leaves all other bytes unchanged."""

from __future__ import annotations

import json
import re

_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKEN = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_VALUE = re.compile(rb"\s*:\s*(" + _STRING + rb"|[^\s,}]+)", re.DOTALL)
_MAX_KEY = len(json.dumps("model")) * 6
"""The maximum length of the key in bytes: each letter may be written as an escape of six characters."""


def replace_model(body: bytes, model: str) -> bytes:
    """The body with its top-level `model` set to `model`; `body` must be a valid JSON object.

    The body is scanned and not parsed: it may hold images of many megabytes, and only the old and the new body should
    be in memory.
    """
    name = json.dumps(model).encode()
    spans, start_of_object = _find_models(body)
    if not spans:
        empty = body[start_of_object:].lstrip()[:1] == b"}"
        comma = b"" if empty else b","
        return b"".join((body[:start_of_object], b'"model":', name, comma, memoryview(body)[start_of_object:]))
    parts: list[bytes | memoryview] = []
    view, copied = memoryview(body), 0
    for start, end in spans:
        parts += [view[copied:start], name]
        copied = end
    return b"".join([*parts, view[copied:]])


def _find_models(body: bytes) -> tuple[list[tuple[int, int]], int]:
    """The spans of the values of all top-level `model` keys (of several, a parser uses the last), and the index just
    after the object's opening brace."""
    depth, start_of_object = 0, 0
    spans: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(body):
        first = body[token.start()]
        if first in b"{[":
            depth += 1
            start_of_object = start_of_object or token.end()
        elif first in b"}]":
            depth -= 1
        elif depth == 1 and token.end() - token.start() <= _MAX_KEY:
            value = _VALUE.match(body, token.end())
            if value and json.loads(token.group()) == "model":
                spans.append(value.span(1))
    return spans, start_of_object
