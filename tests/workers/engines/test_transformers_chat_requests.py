"""Requests to the chat engine of transformers: those of every chat engine, and where its library has its own way."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import BadRequest
from tests.support.chat_engines import ask, picture, text, with_pictures
from tests.support.chat_requests import *  # noqa: F403  (its tests are this file's)
from tests.support.chat_requests import ChatEngine


def test_without_a_temperature_the_model_decides(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    unset = {"temperature": None, "max_tokens": 24}
    assert text(ask(engine, "Hello", **unset)) == text(ask(engine, "Hello", max_tokens=24))
    monkeypatch.setitem(engine._recommended, "do_sample", True)
    assert len({text(ask(engine, "Hello", **unset)) for _ in range(3)}) > 1


def test_a_model_that_cannot_tell_them_apart_says_so(chat_engine: ChatEngine) -> None:
    with pytest.raises(BadRequest, match="refuses this conversation"):
        ask(chat_engine("idefics3"), with_pictures("What does <image> mean?", picture()))
