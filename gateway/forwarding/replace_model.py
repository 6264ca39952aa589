"""Replaces the value of `model` in a JSON body and leaves all other bytes unchanged."""

from __future__ import annotations

import json
import re

from contract.json_bounds import tokens
from gateway.forwarding.pieced_body import PiecedBody, body_of

_COLON = re.compile(rb"\s*:\s*")
_END = re.compile(rb"\s*}")
_SCALAR = re.compile(rb"[^\s,}]+")
_MAX_KEY = len(json.dumps("model")) * 6
"""The maximum length of the key in bytes: each letter may be written as an escape of six characters."""


def replace_model(body: bytes, model: str) -> bytes | PiecedBody:
    """The body with its top-level `model` set to `model`; `body` must be a valid JSON object.

    The body is scanned and neither parsed nor copied: it may hold images of many megabytes.
    """
    name = json.dumps(model).encode()
    spans, start_of_object = _find_models(body)
    if not spans:
        comma = b"" if _END.match(body, start_of_object) else b","
        return body_of((body[:start_of_object], b'"model":', name, comma, memoryview(body)[start_of_object:]))
    parts: list[bytes | memoryview] = []
    view, copied = memoryview(body), 0
    for start, end in spans:
        parts += [view[copied:start], name]
        copied = end
    return body_of([*parts, view[copied:]])


def _find_models(body: bytes) -> tuple[list[tuple[int, int]], int]:
    """The spans of the values of all top-level `model` keys (of several, a parser uses the last), and the index just
    after the object's opening brace."""
    depth, start_of_object = 0, 0
    spans: list[tuple[int, int]] = []
    for start, end in tokens(body):
        first = body[start : start + 1]
        if first in b"{[":
            depth += 1
            start_of_object = start_of_object or end
        elif first in b"}]":
            depth -= 1
        elif depth == 1 and end - start <= _MAX_KEY:
            colon = _COLON.match(body, end)
            if colon and json.loads(body[start:end]) == "model":
                spans.append((colon.end(), _end_of_value(body, colon.end())))
    return spans, start_of_object


def _end_of_value(body: bytes, start: int) -> int:
    """The index after the value that begins at `start`."""
    if body[start : start + 1] not in b'"{[':
        scalar = _SCALAR.match(body, start)
        return scalar.end() if scalar else start
    depth = 0
    for token, end in tokens(body, start):
        first = body[token : token + 1]
        depth += (first in b"{[") - (first in b"}]")
        if depth == 0:
            return end
    return len(body)
