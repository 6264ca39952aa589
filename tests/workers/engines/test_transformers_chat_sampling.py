"""Sampling with transformers: the tests of every chat engine, and comparisons with `generate` and its processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tests.support.chat_engines import ask, load, text
from tests.support.sampling_requests import *  # noqa: F403  (its tests are this file's)
from tests.support.sampling_requests import logprobs


class Reference:
    """A model with transformers' own `generate`, without any code of Enginehouse."""

    def __init__(self, folder: Path) -> None:
        self.model, self.tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def prompt(self, words: str) -> Any:
        messages = [{"role": "user", "content": words}]
        rendered = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return self.tokenizer(rendered, add_special_tokens=False, return_tensors="pt")

    def generate(self, words: str, tokens: int, **settings: Any) -> Any:
        """The ids of the answer, and the model's scores for each."""
        inputs = self.prompt(words)
        config = GenerationConfig(
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=self.model.generation_config.eos_token_id,
            **settings,
        )
        output = self.model.generate(
            **inputs, generation_config=config, output_logits=True, return_dict_in_generate=True
        )
        return output.sequences[0, inputs["input_ids"].shape[1] :], torch.cat(output.logits)

    def answer(self, words: str, tokens: int, **settings: Any) -> str:
        ids, _ = self.generate(words, tokens, **settings)
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@pytest.fixture(scope="module")
def reference(models: Any) -> Reference:
    return Reference(models("lm"))


@pytest.mark.parametrize(
    ("fields", "settings"),
    [
        ({"repetition_penalty": 1.8}, {"repetition_penalty": 1.8}),
        ({"logit_bias": {"50": 3, "60": -4}}, {"sequence_bias": {(50,): 3.0, (60,): -4.0}}),
        ({"min_tokens": 10}, {"min_new_tokens": 10}),
        (
            {"logit_bias": {"50": 3}, "repeat_penalty": 2, "min_tokens": 4},
            {"sequence_bias": {(50,): 3.0}, "repetition_penalty": 2.0, "min_new_tokens": 4},
        ),
    ],
)
def test_answer_equals_that_of_generate(
    engine: Any, reference: Reference, fields: dict[str, Any], settings: dict[str, Any]
) -> None:
    assert text(ask(engine, "Hello", max_tokens=24, **fields)) == reference.answer("Hello", 24, **settings)


def test_logprobs_are_the_log_softmax_of_the_scores(engine: Any, reference: Reference) -> None:
    entries = logprobs(ask(engine, "Hello", max_tokens=12, logprobs=True, top_logprobs=4))
    ids, scores = reference.generate("Hello", 12)
    expected = torch.log_softmax(scores.float(), -1)
    for entry, token, row in zip(entries, ids, expected, strict=True):
        assert entry.logprob == pytest.approx(float(row[token]), abs=1e-4)
        best = row.topk(4)
        assert [top.logprob for top in entry.top_logprobs] == pytest.approx(best.values.tolist(), abs=1e-4)
        assert [top.token for top in entry.top_logprobs] == [
            bytes(top.bytes or ()).decode(errors="replace") for top in entry.top_logprobs
        ]


def test_generate_loop_honours_the_same_fields(models: Any, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose requests cannot share steps answers as one whose requests can."""
    alone = load(models("lm"))
    monkeypatch.setattr(alone, "_runner", None)
    monkeypatch.setattr(alone._answers, "family", None)
    for fields in (
        {"repetition_penalty": 1.8, "logit_bias": {"50": 3}},
        {"temperature": 1, "seed": 3, "top_k": 5, "min_p": 0.01},
        {"logprobs": True, "top_logprobs": 2, "min_tokens": 5},
    ):
        shared, single = (ask(loaded, "Hello", **fields) for loaded in (engine, alone))
        assert text(single) == text(shared)
        assert (single.choices[0].logprobs is None) == (shared.choices[0].logprobs is None)


def test_recommended_processors_are_overridden(models: Any, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = text(ask(engine, "Hello", max_tokens=24))
    monkeypatch.setitem(engine._answers.maker.recommended, "repetition_penalty", 5.0)
    assert text(ask(engine, "Hello", max_tokens=24)) != plain
    assert text(ask(engine, "Hello", max_tokens=24, repetition_penalty=1)) == plain
