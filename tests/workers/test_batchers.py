"""Calls of tasks that do not need the model are answered while the model is at work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from contract.tasks.detokenize import DETOKENIZE, DetokenizeResponse
from contract.tasks.embeddings import EMBEDDINGS, EmbeddingsResponse
from workers.batchers import Batchers
from workers.engine import Call, Engine, Options, serves

USAGE = {"prompt_tokens": 1, "total_tokens": 1}


class Busy(Engine):
    """Embeds only after `go` is set, and detokenizes at once."""

    def __init__(self) -> None:
        self.go = threading.Event()

    @serves(EMBEDDINGS)
    def embed(self, calls: list[Call[Any]]) -> Iterator[tuple[Call[Any], Any]]:
        assert self.go.wait(200)
        for call in calls:
            yield call, EmbeddingsResponse.model_validate({"model": "m", "data": [], "usage": USAGE})

    @serves(DETOKENIZE, beside=True)
    def detokenize(self, calls: list[Call[Any]]) -> Iterator[tuple[Call[Any], Any]]:
        for call in calls:
            yield call, DetokenizeResponse(prompt="hi", content="hi")


async def test_calls_beside_do_not_wait_for_the_model() -> None:
    engine = Busy()
    batchers, served = Batchers(engine, Options(), lambda: None), Busy.served()
    threads = [threading.Thread(target=batcher.run) for batcher in (batchers.model, batchers.beside)]
    for thread in threads:
        thread.start()
    try:
        at_work = batchers.submit(served["embeddings"], Call(EMBEDDINGS.request(input="a")))
        answer = await batchers.submit(served["detokenize"], Call(DETOKENIZE.request(tokens=[1]))).whole()
        assert isinstance(answer, DetokenizeResponse)
        engine.go.set()
        assert isinstance(await at_work.whole(), EmbeddingsResponse)
    finally:
        engine.go.set()
        batchers.stop()
        for thread in threads:
            thread.join(60)
