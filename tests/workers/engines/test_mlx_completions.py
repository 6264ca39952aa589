"""Completions of MLX's engine equal those of transformers for the same weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.errors import InvalidField, ServeError, UnsupportedFeature
from tests.support import chat_engines
from tests.support.batching import feed_of
from tests.workers.engines.test_transformers_chat_completions import (
    WORDS,
    Library,
    chunks,
    complete,
    reported,
    request,
    whole,
)
from workers.engine import Call
from workers.engines.mlx import prompt_scores
from workers.toolkit.chat.fill_in_middle import FillInMiddle

VISION = ["qwen2_5_vl", "smolvlm"]

Engines = Callable[[str], Any]


@pytest.fixture(scope="module")
def engines(models: Callable[[str], Path]) -> Engines:
    return cache(lambda family: chat_engines.load(models(f"mlx_{family}"), "mlx"))


@pytest.fixture
def engine(engines: Engines) -> Any:
    return engines("lm")


@pytest.fixture(scope="module")
def library(models: Any) -> Library:
    return Library(models("lm"))


def test_prompts_are_read_without_a_template(engine: Any, library: Library) -> None:
    ids = [library.tokens(words) for words in WORDS]
    endings = [library.completion(tokens, 8) for tokens in ids]
    answer = complete(engine, WORDS, echo=True)
    assert [choice.text for choice in answer.choices] == [w + e for w, e in zip(WORDS, endings, strict=True)]
    assert [choice.text for choice in complete(engine, ids).choices] == endings
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == sum(map(len, ids))


@pytest.mark.parametrize("family", VISION)
def test_vision_models_continue_texts(family: str, engines: Engines, models: Any) -> None:
    expected = complete(chat_engines.load(models(family)), WORDS)
    assert [choice.text for choice in complete(engines(family), WORDS).choices] == [
        choice.text for choice in expected.choices
    ]


def test_tokens_are_reported_with_their_probabilities(engine: Any, library: Library) -> None:
    answer = complete(engine, "Hello, 네", echo=False, logprobs=2)
    prompt = library.tokens("Hello, 네")
    text = library.completion(prompt, 8)
    assert answer.choices[0].text == text
    assert len(reported(answer).tokens) == 8
    first = library.logprobs([*prompt, 0])[-1]
    assert reported(answer).token_logprobs[0] == pytest.approx(first.max().item(), abs=1e-3)
    best = torch.topk(first, 2).values.tolist()
    assert sorted(reported(answer).top_logprobs[0].values(), reverse=True) == pytest.approx(best, abs=1e-3)


def scores(library: Library, tokens: list[int]) -> list[float]:
    """The library's own log-likelihoods of the tokens after the first."""
    own = library.logprobs(tokens).gather(-1, torch.tensor(tokens[1:])[:, None])[:, 0]
    return [float(value) for value in own]


def test_log_likelihoods_equal_the_librarys(engine: Any, library: Library) -> None:
    """As LM Evaluation Harness asks: token ids with a continuation, `echo`, and no or one token more."""
    items = [f"Question {number}: what is {number} plus {number}? It is {2 * number}." for number in range(40)]
    for more, texts in enumerate((items[:20], items[20:])):
        ids = [library.tokens(text) for text in texts]
        answer = complete(engine, ids, max_tokens=more, logprobs=1, echo=True, seed=1234)
        for tokens, choice in zip(ids, answer.choices, strict=True):
            logprobs = choice.logprobs
            assert logprobs is not None
            assert len(logprobs.token_logprobs) == len(tokens) + more
            assert logprobs.token_logprobs[1 : len(tokens)] == pytest.approx(scores(library, tokens), abs=1e-3)
            best = library.logprobs(tokens).argmax(-1)
            tops = zip(logprobs.top_logprobs[1:], logprobs.token_logprobs[1:], strict=True)
            greedy = [max((top or {}).values()) == value for top, value in tops]
            assert greedy[: len(best)] == (best == torch.tensor(tokens[1:])).tolist()


def test_scores_of_prompts_change_no_answer(engine: Any) -> None:
    plain = complete(engine, WORDS, n=2, echo=True, temperature=1, seed=7)
    scored = complete(engine, WORDS, n=2, echo=True, temperature=1, seed=7, logprobs=3)
    assert [choice.text for choice in scored.choices] == [choice.text for choice in plain.choices]
    assert len(reported(scored).top_logprobs[2]) in (3, 4)
    assert (scored.usage and scored.usage.prompt_tokens) == (plain.usage and plain.usage.prompt_tokens)


@pytest.mark.parametrize("family", VISION)
def test_vision_models_score_prompts(family: str, engines: Engines, models: Any) -> None:
    fields: dict[str, Any] = {"echo": True, "logprobs": 2, "max_tokens": 2}
    expected = complete(chat_engines.load(models(family)), WORDS, **fields)
    answer = complete(engines(family), WORDS, **fields)
    for ours, theirs in zip(answer.choices, expected.choices, strict=True):
        assert ours.logprobs is not None
        assert theirs.logprobs is not None
        assert ours.logprobs.tokens == theirs.logprobs.tokens
        assert ours.logprobs.token_logprobs[1:] == pytest.approx(theirs.logprobs.token_logprobs[1:], abs=2e-3)


@pytest.mark.parametrize("family", ["lm", "qwen2_5_vl"])
def test_long_prompts_are_scored_in_chunks(
    family: str, engines: Engines, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_scores, "CHUNK", 16)
    prompt = "A rather long prompt, which is read in several chunks. " * 4
    fields: dict[str, Any] = {"echo": True, "logprobs": 0, "max_tokens": 0}
    expected = reported(complete(chat_engines.load(models(family)), prompt, **fields)).token_logprobs
    assert reported(complete(engines(family), prompt, **fields)).token_logprobs[1:] == pytest.approx(
        expected[1:], abs=2e-3
    )


def test_running_answers_go_on_while_prompts_are_scored(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_scores, "CHUNK", 8)
    alone = complete(engine, "Hello", max_tokens=30).choices[0].text
    scored = request("A rather long prompt, which is read in several chunks. ", echo=True, logprobs=0)
    calls = [Call(request("Hello", max_tokens=30)), Call(scored)]
    order = [call for call, _ in engine.chat(feed_of(calls))]
    assert order[: order.index(calls[1])].count(calls[0]) > 3, "tokens are sent between the chunks of a prompt"
    answers = chunks(engine, *(call.request for call in calls))
    assert whole(answers[0]).choices[0].text == alone


def test_cancelled_prompt_is_read_no_further(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_scores, "CHUNK", 1)
    cancelled, running = Call(request(["x" * 200, "y" * 200], echo=True, logprobs=0)), Call(request("Hello"))
    engine.meter.take()
    for call, _ in engine.chat(feed_of([cancelled, running])):
        cancelled.cancel() if call is running else pytest.fail("the cancelled prompt was read whole")


def test_every_prompt_has_its_choices_in_order(engine: Any) -> None:
    fields = {"temperature": 2, "seed": 3}
    answer = complete(engine, WORDS[:2], n=2, **fields)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    alone = complete(engine, WORDS[1], n=2, **fields)
    assert [choice.text for choice in answer.choices[2:]] == [choice.text for choice in alone.choices]


def test_more_prompts_than_rows_are_answered(engine: Any, library: Library) -> None:
    answer = complete(engine, [f"Number {number}" for number in range(40)], max_tokens=2)
    assert len(answer.choices) == 40
    assert answer.choices[39].text == library.completion(library.tokens("Number 39"), 2)


def test_no_tokens_can_be_asked_for(engine: Any) -> None:
    answer = complete(engine, ["Hello", "Bye"], max_tokens=0, echo=True)
    assert [(choice.text, choice.finish_reason) for choice in answer.choices] == [
        ("Hello", "length"),
        ("Bye", "length"),
    ]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 0


def test_end_of_the_text_is_reported_too(engine: Any) -> None:
    end = min(engine._chat.loaded.ends)
    answer = complete(engine, "Hello", max_tokens=4, logit_bias={str(end): 100}, logprobs=1)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("", "stop")
    assert len(reported(answer).tokens) == 1


def test_chats_and_completions_share_steps(engine: Any) -> None:
    alone = complete(engine, "Hello").choices[0].text
    asked = chat_engines.text(chat_engines.ask(engine, "Hello", max_tokens=8))
    engine.meter.take()
    answers = chunks(engine, request("Hello"), chat_engines.request("Hello", max_tokens=8))
    assert "2" in engine.meter.take()["steps"]
    assert whole(answers[0]).choices[0].text == alone
    assert chat_engines.text(chat_engines.whole(answers[1])) == asked


@pytest.mark.parametrize(
    ("prompt", "reason"), [([[1, 2], [99999]], "no token 99999"), (["Hi", "x" * 5000], "too long by")]
)
def test_wrong_prompt_is_refused_by_name(engine: Any, prompt: Any, reason: str) -> None:
    with pytest.raises(InvalidField if "token" in reason else ServeError, match=reason) as refusal:
        complete(engine, prompt)
    assert refusal.value.param == "prompt"


def test_fills_in_the_middle(engine: Any, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedFeature, match="no tokens to fill in the middle"):
        complete(engine, "def f(", suffix="return x")
    assert "fill_in_middle" not in engine.loaded_features()
    monkeypatch.setitem(engine._chat.prompts.__dict__, "fill_in_middle", FillInMiddle(4, 5, 6, frozenset()))
    assert "fill_in_middle" in engine.loaded_features()
    before, after = library.tokens("def f("), library.tokens("return x")
    expected = complete(engine, [4, *before, 5, *after, 6]).choices[0].text
    assert complete(engine, "def f(", suffix="return x").choices[0].text == expected
