"""Tokens are drawn from the same tokens, with the same probabilities, as with transformers' own classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation import logits_process as library

from workers.engines.transformers_chat.token_draw import CANDIDATES, TokenFilter, draw, keep

VOCABULARY = 4 * CANDIDATES
FILTERS = st.fixed_dictionaries(
    {"temperature": st.sampled_from([0.2, 0.7, 1.0, 3.0])},
    optional={
        "top_k": st.sampled_from([1, 2, 20, CANDIDATES - 1, CANDIDATES, CANDIDATES + 1, 10 * VOCABULARY]),
        "top_p": st.sampled_from([0.0, 0.1, 0.5, 0.8, 0.95, 0.999]),
        "min_p": st.sampled_from([1e-6, 0.01, 0.3, 1.0]),
        "typical_p": st.sampled_from([0.2, 0.9]),
        "epsilon_cutoff": st.sampled_from([0.001]),
        "eta_cutoff": st.sampled_from([0.002]),
    },
)
"""Settings that few, many and all of the first candidates pass."""
WARPERS = {
    "temperature": library.TemperatureLogitsWarper,
    "top_k": library.TopKLogitsWarper,
    "top_p": library.TopPLogitsWarper,
    "min_p": library.MinPLogitsWarper,
    "typical_p": library.TypicalLogitsWarper,
    "epsilon_cutoff": library.EpsilonLogitsWarper,
    "eta_cutoff": library.EtaLogitsWarper,
}


def scores_of(seed: int, spread: float = 3.0, step: float = 0.0, excluded: int = 0) -> Any:
    """A row of scores (1, vocabulary). With a `step`, many are equal, as those of a model in bfloat16 are."""
    random = torch.Generator().manual_seed(seed)
    scores = torch.randn((1, VOCABULARY), generator=random) * spread
    if step:
        scores = (scores / step).round() * step
    scores[:, torch.randperm(VOCABULARY, generator=random)[:excluded]] = -torch.inf
    return scores


def filter_of(settings: dict[str, Any]) -> TokenFilter:
    made = TokenFilter.of({"do_sample": True, **settings})
    assert made is not None
    return made


def expected(scores: Any, settings: dict[str, Any]) -> Any:
    """The probabilities of a row with transformers' own classes, in their order."""
    for name, warper in WARPERS.items():
        if name in settings:
            scores = warper(settings[name])(None, scores)
    return scores[0].double().softmax(-1).numpy()


def probabilities(scores: Any, settings: dict[str, Any]) -> Any:
    [(ids, values)] = keep(scores, [0], [filter_of(settings)])
    row = np.zeros(VOCABULARY)
    row[ids] = np.exp(values - values.max())
    return row / row.sum()


@given(FILTERS, st.integers(0, 2**31), st.sampled_from([0.01, 3.0, 12.0]), st.sampled_from([0, 900, VOCABULARY - 1]))
def test_keeps_what_the_library_keeps(settings: dict[str, Any], seed: int, spread: float, excluded: int) -> None:
    scores = scores_of(seed, spread, excluded=excluded)
    found, wanted = probabilities(scores, settings), expected(scores, settings)
    # Sums are rounded otherwise, so a token or two at the limit may be kept by one of the two only.
    assert np.abs(found - wanted).sum() < 0.01 or np.count_nonzero((found > 0) != (wanted > 0)) <= 2


@given(st.integers(0, 2**31), st.integers(1, CANDIDATES))
def test_equal_scores_are_all_kept_or_none(seed: int, top_k: int) -> None:
    scores = scores_of(seed, step=0.125)
    found = probabilities(scores, {"top_k": top_k})
    assert (found > 0).tolist() == (expected(scores, {"top_k": top_k}) > 0).tolist()


@pytest.mark.parametrize("settings", [{}, {"top_k": 20, "top_p": 0.8}, {"top_p": 0.95}, {"typical_p": 0.9}], ids=str)
def test_a_rows_token_does_not_depend_on_others(settings: dict[str, Any]) -> None:
    rows = torch.cat([scores_of(seed, step=0.25) for seed in range(6)])
    filters = [filter_of({"temperature": 1.5, **settings}), *(filter_of({"top_k": k}) for k in (3, 400)),
               filter_of({"min_p": 0.1}), filter_of({}), filter_of({"top_p": 0.3})]  # fmt: skip
    together = draw(rows, filters, [torch.Generator().manual_seed(seed) for seed in range(6)])
    alone = [draw(rows[n : n + 1], [filters[n]], [torch.Generator().manual_seed(n)])[0] for n in range(6)]
    assert together == alone


@pytest.mark.parametrize("settings", [{}, {"top_k": 5}, {"top_p": 0.9}, {"typical_p": 0.5}], ids=str)
def test_tokens_are_drawn_as_often_as_they_are_probable(settings: dict[str, Any]) -> None:
    count, scores = 4000, torch.full((1, VOCABULARY), -torch.inf)
    scores[0, [3, 100, 700, 1000]] = torch.tensor([1.0, 0.0, 2.0, 1.0])
    random = torch.Generator().manual_seed(0)
    drawn = draw(scores.repeat(count, 1), [filter_of(settings)] * count, [random] * count)
    shares = np.bincount(drawn, minlength=VOCABULARY) / count
    assert np.abs(shares - expected(scores, settings)).max() < 0.04


def test_draws_the_last_token_if_it_is_the_only_one() -> None:
    scores = torch.full((1, VOCABULARY), -torch.inf)
    scores[0, -1] = -5.0
    for settings in ({}, {"top_k": 9}, {"top_p": 0.5}, {"min_p": 0.5}):
        assert draw(scores, [filter_of(settings)], [torch.Generator()]) == [VOCABULARY - 1]


def test_a_temperature_of_zero_is_greedy() -> None:
    assert TokenFilter.of({"do_sample": True, "temperature": 0}) is None
    assert TokenFilter.of({"temperature": 1.0}) is None
