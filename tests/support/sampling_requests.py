"""Tests of sampling that are the same for every chat engine that honours all of its fields.

An engine's test file imports everything from here, and may define its own fixture `chat_engine`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from contract.errors import InvalidField
from contract.tasks.chat import ChatResponse, TokenLogprob
from tests.support.chat_engines import ask, request, run, text, whole
from workers.toolkit.chat.sampling_settings import SAMPLING_FEATURES

FREE = {"temperature": 1.0, "seed": 3, "max_tokens": 16}


@pytest.fixture
def engine(chat_engine: Callable[..., Any]) -> Any:
    return chat_engine("lm")


def logprobs(answer: ChatResponse, index: int = 0) -> list[TokenLogprob]:
    """The probabilities of a choice's tokens."""
    reported = answer.choices[index].logprobs
    assert reported is not None
    assert reported.content is not None
    return reported.content


def ids_of(engine: Any, answer: ChatResponse) -> list[int]:
    """The tokens of an answer that reports them: in this tiny vocabulary, a byte is a token."""
    tokenizer = (engine._chat.loaded if hasattr(engine, "_chat") else engine._loaded).tokenizer
    return [tokenizer.encode(entry.token, add_special_tokens=False)[-1] for entry in logprobs(answer)]


def test_offers_all_features_of_sampling(engine: Any) -> None:
    assert engine.loaded_features() >= SAMPLING_FEATURES


def test_top_k_of_one_always_gives_the_same_answer(engine: Any) -> None:
    greedy = text(ask(engine, "Hello", max_tokens=16))
    for seed in range(3):
        assert text(ask(engine, "Hello", **{**FREE, "temperature": 2, "seed": seed, "top_k": 1})) == greedy
        assert text(ask(engine, "Hello", **{**FREE, "temperature": 2, "seed": seed, "min_p": 1})) == greedy


def test_top_k_of_minus_one_is_none(engine: Any) -> None:
    free = text(ask(engine, "Hello", **FREE))
    assert text(ask(engine, "Hello", **FREE, top_k=-1)) == free
    assert text(ask(engine, "Hello", **FREE, top_k=0)) == free
    assert len({text(ask(engine, "Hello", **{**FREE, "seed": seed})) for seed in range(3)}) > 1


def test_logprobs_are_the_same_whatever_samples(engine: Any) -> None:
    """They say what the model computed, before anything changes it."""
    plain = logprobs(ask(engine, "Hello", max_tokens=1, logprobs=True, top_logprobs=5))[0]
    changed = {"top_logprobs": 5, "temperature": 0.2, "top_k": 2, "frequency_penalty": 2, "logit_bias": {"40": 100}}
    sampled = logprobs(ask(engine, "Hello", max_tokens=1, logprobs=True, **changed))[0]
    assert sampled.top_logprobs == plain.top_logprobs
    assert plain.logprob == plain.top_logprobs[0].logprob
    assert sampled.token != plain.token
    assert sampled.logprob < plain.logprob


def test_logprobs_match_the_text(engine: Any) -> None:
    answer = ask(engine, "Hello", max_tokens=24, logprobs=True, top_logprobs=3)
    entries = logprobs(answer)
    assert len(entries) == 24
    assert b"".join(bytes(entry.bytes or ()) for entry in entries).decode(errors="replace") == text(answer)
    for entry in entries:
        assert [top.logprob for top in entry.top_logprobs] == sorted(top.logprob for top in entry.top_logprobs)[::-1]
        assert len(entry.top_logprobs) == 3
        assert entry.logprob <= 0
    assert logprobs(ask(engine, "Hello", max_tokens=2, logprobs=True))[0].top_logprobs == []
    assert ask(engine, "Hello", max_tokens=2).choices[0].logprobs is None


def test_every_choice_has_its_own_logprobs(engine: Any) -> None:
    no_specials = {str(token): -100 for token in range(256, 259)}  # texts leave them out
    answer = ask(engine, "Hello", **FREE, n=3, logprobs=True, logit_bias=no_specials)
    for index in range(3):
        content = b"".join(bytes(entry.bytes or ()) for entry in logprobs(answer, index))
        assert content.decode(errors="replace") == text(answer, index)


def test_probabilities_add_up(engine: Any) -> None:
    entry = logprobs(ask(engine, "Hello", max_tokens=1, logprobs=True, top_logprobs=20))[0]
    assert 0 < sum(math.exp(top.logprob) for top in entry.top_logprobs) <= 1 + 1e-6


def test_bias_forces_and_forbids_tokens(engine: Any) -> None:
    greedy = ask(engine, "Hello", max_tokens=4, logprobs=True)
    [first, *_] = ids_of(engine, greedy)
    other = 40 if first != 40 else 41
    forced = ask(engine, "Hello", max_tokens=4, logit_bias={str(other): 100}, logprobs=True)
    assert ids_of(engine, forced) == [other] * 4
    forbidden = ask(engine, "Hello", max_tokens=4, logit_bias={str(first): -100}, logprobs=True)
    assert first not in ids_of(engine, forbidden)


def test_stop_token_ends_the_answer_without_its_text(engine: Any) -> None:
    free = ask(engine, "Hello", max_tokens=16, logprobs=True)
    ids = ids_of(engine, free)
    stopped = ask(engine, "Hello", max_tokens=16, stop_token_ids=[ids[5]], logprobs=True)
    length = ids.index(ids[5])
    assert ids_of(engine, stopped) == ids[:length] if length else stopped.choices[0].logprobs is None
    assert stopped.choices[0].finish_reason == "stop"
    assert text(free).startswith(text(stopped))


def test_minimum_excludes_the_end_of_the_answer(engine: Any) -> None:
    free = ask(engine, "Hello", max_tokens=16, logprobs=True)
    end = ids_of(engine, free)[2]
    bias = {str(end): 100}
    assert ask(engine, "Hello", max_tokens=16, stop_token_ids=[end], logit_bias=bias).usage.completion_tokens == 1  # type: ignore[union-attr]
    longer = ask(engine, "Hello", max_tokens=16, stop_token_ids=[end], logit_bias=bias, min_tokens=6)
    assert longer.usage is not None
    assert longer.usage.completion_tokens == 7
    assert longer.choices[0].finish_reason == "stop"


def test_ignores_the_end_of_the_answer(engine: Any) -> None:
    end = min(engine._chat.loaded.ends if hasattr(engine, "_chat") else engine._answers.maker.end_tokens)
    bias = {str(end): 100}
    ended = ask(engine, "Hello", max_tokens=5, logit_bias=bias)
    endless = ask(engine, "Hello", max_tokens=5, logit_bias=bias, ignore_eos=True)
    assert (ended.choices[0].finish_reason, endless.choices[0].finish_reason) == ("stop", "length")
    assert endless.usage is not None
    assert endless.usage.completion_tokens == 5
    assert text(endless) == ""


def test_both_names_of_the_repetition_penalty_count(engine: Any) -> None:
    plain = text(ask(engine, "Hello", max_tokens=24))
    penalized = text(ask(engine, "Hello", max_tokens=24, repetition_penalty=5))
    assert penalized == text(ask(engine, "Hello", max_tokens=24, repeat_penalty=5))
    assert penalized != plain
    assert text(ask(engine, "Hello", max_tokens=24, repetition_penalty=1)) == plain


@pytest.mark.parametrize(
    "fields", [{"logit_bias": {"99999999": 1}}, {"stop_token_ids": [1, 2**31 - 1]}], ids=["bias", "stop"]
)
def test_unknown_token_is_refused(engine: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidField, match="there is no token") as caught:
        ask(engine, "Hello", **fields)
    assert caught.value.param == next(iter(fields))


def test_requests_with_and_without_sampling_fields_share_steps(engine: Any) -> None:
    fields: list[dict[str, Any]] = [
        {},
        {"logprobs": True, "top_logprobs": 2},
        {**FREE, "top_k": 5, "min_p": 0.01},
        {"repetition_penalty": 1.5, "logit_bias": {"50": 2}},
        {"min_tokens": 8, "stop_token_ids": [60], "frequency_penalty": 1},
    ]
    requests = [request("Hello", **{"max_tokens": 12, **each}) for each in fields]
    alone = [whole(run(engine, item)[0]) for item in requests]
    engine.meter.take()
    together = [whole(pieces) for pieces in run(engine, *requests)]
    assert [text(answer) for answer in together] == [text(answer) for answer in alone]
    assert str(len(fields)) in engine.meter.take()["steps"]
