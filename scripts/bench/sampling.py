"""Drawing the next tokens of a batch, compared with transformers' classes for one row after another."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

from scripts.bench.measurement import Goal, Result, Setup, in_turns, ratio

ROWS, VOCABULARY = 16, 152_064
_SETTINGS = {"temperature": 0.7, "top_k": 20, "top_p": 0.8}
_TITLE = "Sampling"
_TEXT = f"""
The scores of {ROWS} rows and {VOCABULARY:,} tokens, those of the Qwen family, are sampled as its authors recommend:
{", ".join(f"{name} {value}" for name, value in _SETTINGS.items())}. Greedy is `argmax`. One torch thread.
"""
_GOAL = "tokens/s, relative to transformers' classes"


def measure(setup: Setup) -> Result:
    """Tokens per second of each way to pick them."""
    if importlib.util.find_spec("transformers") is None:
        return Result(_TITLE, _TEXT, [Goal(_GOAL, 8, None, " ×", at_least=True, why="transformers is not installed")])
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ways = {name: _rate(pick, setup.seconds(1)) for name, pick in _ways().items()}
        rates = in_turns(setup.rounds(5), ways)
    finally:
        torch.set_num_threads(threads)
    rows = [(name, f"{statistics.median(values):,.0f}") for name, values in rates.items()]
    goal = Goal(_GOAL, 8, ratio(rates["enginehouse"], rates["transformers"]), " ×", at_least=True)
    return Result(_TITLE, _TEXT, [goal], ("way", "tokens/s"), rows)


def _ways() -> dict[str, Callable[[], object]]:
    """Each picks a token for every row."""
    import torch
    from transformers.generation import logits_process as library

    from workers.engines.transformers_chat.token_draw import TokenFilter, draw

    scores = torch.randn((ROWS, VOCABULARY), generator=torch.Generator().manual_seed(0)) * 3
    wanted = TokenFilter.of({"do_sample": True, **_SETTINGS})
    assert wanted is not None
    filters, generators = [wanted] * ROWS, [torch.Generator() for _ in range(ROWS)]
    warpers: list[Any] = [
        library.TemperatureLogitsWarper(0.7), library.TopKLogitsWarper(20), library.TopPLogitsWarper(0.8)
    ]  # fmt: skip

    def one(row: Any) -> int:
        for warper in warpers:
            row = warper(None, row)
        return int(torch.multinomial(row.softmax(-1), 1))

    return {
        "enginehouse": lambda: draw(scores, filters, generators),
        "transformers": lambda: [one(row) for row in scores.split(1)],
        "greedy": lambda: scores.argmax(-1).tolist(),
    }


def _rate(pick: Callable[[], object], seconds: float) -> Callable[[], float]:
    def rate() -> float:
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            pick()
            count += ROWS
        return count / (time.perf_counter() - started)

    return rate
