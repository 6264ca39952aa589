"""Requests to the chat engine of transformers: the tests of every chat engine, and what only this engine does."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import ContextTooLong
from tests.support.chat_engines import ask, drawn_image, text, with_images
from tests.support.chat_requests import *  # noqa: F403  (its tests are this file's)


def test_default_temperature_is_the_models(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    unset = {"temperature": None, "max_tokens": 24}
    assert text(ask(engine, "Hello", **unset)) == text(ask(engine, "Hello", max_tokens=24))
    monkeypatch.setitem(engine._answers.maker.recommended, "do_sample", True)
    assert len({text(ask(engine, "Hello", **unset)) for _ in range(3)}) > 1


def test_images_beyond_the_context_are_never_prepared(vision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision._encoder, "context", 20)
    monkeypatch.setattr(vision._encoder, "_apply", lambda *_, **__: pytest.fail("prepares the images"))
    with pytest.raises(ContextTooLong):
        ask(vision, with_images("?", *[drawn_image()] * 8))
