"""`enginehouse bench MODEL`: how fast a running server answers chat requests, as its clients see it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.table import Table

from client import AsyncClient, ServerError
from command.models import ModelName
from command.session import CommandError, Session


@dataclass(frozen=True, slots=True)
class Timing:
    """One request: seconds until its first piece and its last, and how many tokens were written."""

    first: float
    total: float
    tokens: int


def bench(
    context: typer.Context,
    model: ModelName,
    requests: Annotated[int, typer.Option("--requests", "-n", min=1, help="How many in all")] = 20,
    clients: Annotated[int, typer.Option("--clients", "-c", min=1, max=512, help="How many at the same time")] = 4,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer")] = 64,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What to ask")] = "Tell me a long story about the sea.",
) -> None:
    """Measure a chat model: time to the first piece, tokens a second, and requests a second, under several clients."""
    session = Session.of(context)
    with session.client() as client:
        client.load(model)  # so that its start does not count
    timings, wall, errors = asyncio.run(_measure(session, model, requests, clients, prompt, max_tokens))
    if not timings:
        raise CommandError(f"No request was answered. {errors[0]}")
    result = summary(timings, wall)
    table = Table("", "median", "95 %", box=None, pad_edge=False)
    table.add_row("first piece", *(f"{1000 * value:.0f} ms" for value in result["first_s"]))
    table.add_row("whole answer", *(f"{value:.2f} s" for value in result["total_s"]))
    said = f"{result['tokens_per_s']:.1f} tokens/s and {result['requests_per_s']:.2f} requests/s with {clients} clients"
    failed = [f"{len(errors)} of {requests} requests failed: {errors[0]}"] if errors else []
    document = {"model": model, "clients": clients, **result, "failed": len(errors)}
    session.show(document, said, table, *failed)
    if errors:
        raise typer.Exit(1)


def summary(timings: Sequence[Timing], wall: float) -> dict[str, Any]:
    """Medians and 95th percentiles in seconds, and rates over the whole run."""
    return {
        "requests": len(timings),
        "first_s": _spread([timing.first for timing in timings]),
        "total_s": _spread([timing.total for timing in timings]),
        "tokens_per_s": sum(timing.tokens for timing in timings) / wall,
        "requests_per_s": len(timings) / wall,
    }


def _spread(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]


async def _measure(
    session: Session, model: str, requests: int, clients: int, prompt: str, max_tokens: int
) -> tuple[list[Timing], float, list[str]]:
    timings: list[Timing] = []
    errors: list[str] = []
    numbers = iter(range(requests))
    async with session.async_client() as client:

        async def work() -> None:
            for number in numbers:  # shared: each takes the next
                try:
                    timings.append(await _ask(client, model, f"{prompt} ({number})", max_tokens))
                except ServerError as error:
                    errors.append(str(error))

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(min(clients, requests))))
        return timings, time.perf_counter() - started, errors


async def _ask(client: AsyncClient, model: str, prompt: str, max_tokens: int) -> Timing:
    started = time.perf_counter()
    first, tokens = None, 0
    async for piece in client.stream_chat(prompt, model=model, max_tokens=max_tokens):
        if first is None and (piece.text or piece.reasoning):
            first = time.perf_counter() - started
        if piece.usage:
            tokens = piece.usage["completion_tokens"]
    total = time.perf_counter() - started
    return Timing(total if first is None else first, total, tokens)
