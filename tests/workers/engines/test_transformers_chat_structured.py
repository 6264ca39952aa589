"""Answers of the chat engine of transformers that are held to a form: the tests of every chat engine, and its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.chat_engines import ask, text
from tests.support.chat_requests import ChatEngine
from tests.support.structured_requests import *  # noqa: F403  (its tests are this file's)
from tests.support.structured_requests import as_json


def test_form_is_held_without_shared_steps(chat_engine: ChatEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = chat_engine("lm")
    monkeypatch.setattr(engine, "_runner", None)  # `generate` answers
    monkeypatch.setattr(engine._answers, "family", None)
    answer = ask(engine, "Hello", response_format=as_json({"enum": [[1, "é"], [2]]}), temperature=2, max_tokens=99)
    assert json.loads(text(answer)) in ([1, "é"], [2])
    assert answer.choices[0].finish_reason == "stop"


def test_recommended_processors_cannot_exclude_all(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authors forbid repetitions, and the form demands one."""
    monkeypatch.setitem(engine._answers.maker.recommended, "no_repeat_ngram_size", 1)
    answer = ask(engine, "Hello", response_format=as_json({"const": "aaaa"}), temperature=2, max_tokens=99)
    assert text(answer) == '"aaaa"'
