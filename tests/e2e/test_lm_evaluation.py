"""LM Evaluation Harness over HTTP: its `local-completions` model gets the log-likelihoods that the library computes.

Its requests and its reading of the answers are those of lm_eval/models/openai_completions.py, sent as its api_models.py
does: in batches, several at a time, as token ids (`tokenized_requests`) or as texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from scripts.testbed.server import RunningServer
from tests.conftest import Models
from tests.workers.engines.test_transformers_chat_completions import Library

BATCH = 8
CONCURRENT = 4
ITEMS = [(f"Question {number}: what is {number} plus {number}?", f" It is {2 * number}.") for number in range(200)]
GENERATED = 12
"""The most tokens of a generated answer."""


@dataclass(frozen=True)
class Item:
    """A context and its continuation as the harness prepares them: all tokens, and how many of them are the context."""

    text: str
    tokens: list[int]
    context: int


@pytest.fixture(scope="module")
def library(models: Models) -> Library:
    return Library(models("lm"))


@pytest.fixture(scope="module")
def items(library: Library) -> list[Item]:
    def prepared(context: str, continuation: str) -> Item:
        whole, begin = library.tokens(context + continuation), library.tokens(context)
        return Item(context + continuation, whole, len(begin))

    return [prepared(*item) for item in ITEMS]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Iterator[RunningServer]:
    chat = {"id": "lm", "engine": "transformers_chat", "source": str(models("lm")), "options": {"threads": 1}}
    apple = {"id": "mlx-lm", "engine": "mlx", "source": str(models("mlx_lm"))}
    with RunningServer(tmp_path_factory.mktemp("house"), [chat, apple]) as running:
        yield running


def ask(server: RunningServer, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers to requests, some of which are sent at the same time."""
    with ThreadPoolExecutor(CONCURRENT) as pool:
        replies = list(pool.map(lambda body: server.post("/v1/completions", body), bodies))
    assert [reply.status_code for reply in replies] == [200] * len(bodies), replies[0].text[:500]
    return [reply.json() for reply in replies]


def scored(model: str, prompts: list[Any]) -> dict[str, Any]:
    """The payload for log-likelihoods."""
    fields = {"temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    return {"model": model, "prompt": prompts, **fields}


def parse_logprobs(answer: dict[str, Any], contexts: list[int]) -> Iterator[tuple[float, bool]]:
    """What the harness reads: the log-likelihood of each continuation, and whether it is the most probable one."""
    for choice, context in zip(sorted(answer["choices"], key=lambda choice: choice["index"]), contexts, strict=True):
        values = choice["logprobs"]["token_logprobs"][context:-1]
        tops = choice["logprobs"]["top_logprobs"][context:-1]
        yield sum(values), all(value == max(top.values()) for value, top in zip(values, tops, strict=True))


def expected(library: Library, item: Item) -> tuple[float, bool]:
    """What the library's own forward pass says."""
    logprobs = library.logprobs(item.tokens)[item.context - 1 :]
    continuation = torch.tensor(item.tokens[item.context :])
    likelihood = logprobs.gather(-1, continuation[:, None]).sum().item()
    return likelihood, bool((logprobs.argmax(-1) == continuation).all())


@pytest.mark.parametrize("model", ["lm", "mlx-lm"])
@pytest.mark.parametrize("form", ["tokens", "text"])
def test_log_likelihoods_equal_the_librarys(
    server: RunningServer, library: Library, items: list[Item], model: str, form: str
) -> None:
    batches = [items[begin : begin + BATCH] for begin in range(0, len(items), BATCH)]
    answers = ask(server, [scored(model, [getattr(item, form) for item in batch]) for batch in batches])
    for batch, answer in zip(batches, answers, strict=True):
        for item, (likelihood, is_greedy) in zip(
            batch, parse_logprobs(answer, [item.context for item in batch]), strict=True
        ):
            own, is_best = expected(library, item)
            assert likelihood == pytest.approx(own, abs=1e-3)
            assert is_greedy == is_best


@pytest.mark.parametrize("model", ["lm", "mlx-lm"])
def test_generated_answers_equal_the_librarys(
    server: RunningServer, library: Library, items: list[Item], model: str
) -> None:
    """The payload of `generate_until`."""
    fields = {"max_tokens": GENERATED, "temperature": 0, "stop": ["\n\n"], "seed": 1234}
    prompts = [item.tokens for item in items[:16]]
    bodies = [{"prompt": prompts[begin : begin + BATCH], "model": model, **fields} for begin in (0, BATCH)]
    choices = [choice for answer in ask(server, bodies) for choice in answer["choices"]]
    texts = [library.completion(tokens, GENERATED).partition("\n\n")[0] for tokens in prompts]
    assert [choice["text"] for choice in choices] == texts
