"""At load, the engine checks whether requests can share decode steps, and reports the result with the reason."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.chat_engines import ask, load, request, text
from tests.support.joined_requests import Engines, JoinedRequests, alone
from workers.engines.transformers_chat import library

FAMILIES = [
    "lm", "llama", "sliding", "convolving", "linear", "mamba",
    "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "llava", "idefics3", "paddleocr_vl", "gemma3",
]  # fmt: skip
CHUNKED = [family for family in FAMILIES if family != "mamba"]

Models = Callable[[str], Path]


@pytest.mark.parametrize("family", FAMILIES)
def test_requests_share_steps(family: str, chat_engine: Callable[[str], Any]) -> None:
    joins = str(chat_engine(family).joins)
    assert joins == "yes", f"{family} no longer shares steps between requests: joins: {joins}"


@pytest.mark.parametrize("family", CHUNKED)
def test_prompts_are_read_in_chunks(family: str, chat_engine: Callable[[str], Any]) -> None:
    assert chat_engine(family)._runner.reads_in_chunks


def test_unknown_cache_argument_is_reported(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a release of transformers that renames the cache argument, as 5.24 did."""
    monkeypatch.setattr(library, "CACHE_NAMES", ("past",))
    engine: Any = load(models("lm"))
    assert str(engine.joins) == "no, because Qwen2ForCausalLM takes no cache under any of the names past"
    assert text(ask(engine, "Hello"))


def test_unused_cache_is_reported(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = library.ForwardPass.__call__
    monkeypatch.setattr(
        library.ForwardPass,
        "__call__",
        lambda self, inputs, cache, mask, positions: forward(self, inputs, None, None, positions),
    )
    engine: Any = load(models("lm"))
    assert str(engine.joins).startswith("no, because ")


def test_ignored_mask_is_reported(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = library.ForwardPass.__call__
    monkeypatch.setattr(
        library.ForwardPass,
        "__call__",
        lambda self, inputs, cache, mask, positions: forward(self, inputs, cache, None, positions),
    )
    assert "scores in a shared step differ" in str(load(models("lm")).joins)


def test_failing_probe_is_reported_with_its_error(
    models: Models, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("test failure")

    monkeypatch.setattr(library.ForwardPass, "__call__", broken)
    with caplog.at_level(logging.WARNING):
        engine = load(models("lm"))
    assert str(engine.joins) == "no, because probing it failed: RuntimeError: test failure"
    assert "probing the model failed" in caplog.text


def test_custom_code_is_reported(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "runs_its_own_code", lambda _: True)
    engine: Any = load(models("lm"))
    assert "its code comes from the checkpoint" in str(engine.joins)


def test_requests_that_cannot_join_are_answered_one_by_one(
    models: Models, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = request("Tell me a story", max_tokens=8), request("Hi", max_tokens=3)
    drawn = request("Hello", temperature=1, seed=5, n=2, max_tokens=5)
    expected = alone(engines("lm"), first, later, drawn)  # before the change: other tests use this engine as well
    monkeypatch.setattr(library, "runs_its_own_code", lambda _: True)
    slow: Any = load(models("lm"))
    slow._answers.maker.end_tokens = frozenset()
    joined = JoinedRequests(slow, first, (3, later), (4, drawn))
    assert joined.finish_order == [0, 1, 2]
    assert joined.texts == expected
