"""Loads rerankers, and asks them for scores."""

from __future__ import annotations

from typing import Any

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.rerank import RerankRequest, RerankResponse
from workers.engine import Call, Device
from workers.registry import find_engine

QUERY = "where do cats sleep"
DOCUMENTS = ["on the sofa", "x " * 12, "", "the stock market fell today, again", "on the sofa"]


def load(source: object, **options: Any) -> Any:
    engine = find_engine("cross_encoder")()
    options = {"threads": 1} | options
    spec = ModelSpec(id="ranker", engine="cross_encoder", source=str(source), options=options)
    engine.load(spec, Device("cpu", "float32"))
    return engine


def ask(documents: list[Any], query: str = QUERY, **fields: Any) -> Call[RerankRequest]:
    return Call(RerankRequest(query=query, documents=documents, **fields), id="r")


def rerank(engine: Any, *calls: Call[RerankRequest]) -> list[RerankResponse]:
    """The answers in the order of the calls."""
    answers = dict(engine.rerank(list(calls)))
    for answer in answers.values():
        if isinstance(answer, ServeError):
            raise answer
    return [answers[call] for call in calls]


def scores(answer: RerankResponse) -> list[float]:
    """The scores in the order of the documents."""
    return [result.relevance_score for result in sorted(answer.results, key=lambda result: result.index)]


def close(actual: list[float], expected: list[float]) -> bool:
    return len(actual) == len(expected) and max(map(abs, map(float.__sub__, actual, expected))) < 1e-5


def check_neighbours(engine: Any) -> None:
    """Assert that a document's score is the same alone, beside a longer one, and beside another call's."""
    [alone] = rerank(engine, ask(["on the sofa"]))
    [beside_long] = rerank(engine, ask(["on the sofa", "z" * 40]))
    _, beside_other_call = rerank(engine, ask(["y" * 30], query="q"), ask(["on the sofa"]))
    assert close(scores(beside_long)[:1], scores(alone))
    assert close(scores(beside_other_call), scores(alone))
