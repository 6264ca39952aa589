"""Chat with several clients, with and without images, and transformers' `generate` for one prompt at a time."""

from __future__ import annotations

import importlib.util
import itertools
import json
import statistics
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from scripts.bench import servers, wrk
from scripts.bench.images import data_uri
from scripts.bench.measurement import Goal, Result, Setup, in_turns, ratio
from scripts.testbed.server import RunningServer

CLIENTS = (1, 4, 16)
TOKENS, LONG, SHORT = 32, 400, 4
_PROMPTS = 16
_SHAPE = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 8}
_PATH = "/v1/chat/completions"
_TITLE = "Chat under several clients"
_TEXT = f"""
A Qwen2.5-VL with 3 million random weights runs on one torch thread. Every answer has {TOKENS} tokens, and each client
sends its next request as soon as it has its answer (wrk). New requests join running ones at the next decode step. The
caches are off, since the same prompts are sent repeatedly. For comparison, a process calls `generate` for one of the
same prompts after another, as transformers' own server does. The short answer has {SHORT} tokens; it is requested after
a long answer of {LONG} tokens has started.
"""

Bodies = list[dict[str, Any]]
Rates = dict[str, list[float]]


def measure(setup: Setup) -> Result:
    """Tokens per second of each variant, in turns, and how long a short answer takes during a long one."""
    if missing := _missing():
        return Result(_TITLE, _TEXT, _goals(None, None, None, missing))
    folder = setup.folder / "chat"
    model = _model(folder / "model")
    with ExitStack() as stack:
        server = stack.enter_context(_server(folder, model))
        rates = [_rates(setup, server, _bodies(server, _PROMPTS, TOKENS, image), model) for image in (False, True)]
        [long] = _bodies(server, 1, LONG)
        waits = [_short_during_long(server, long) for _ in range(setup.rounds(5))]
    text, images = rates
    rows = [(name, *(f"{statistics.median(r[name]):,.0f}" for r in rates)) for name in text]
    goals = _goals(text, images, statistics.median(waits))
    return Result(_TITLE, _TEXT, goals, ("variant", "tokens/s, text", "tokens/s, an image in each request"), rows)


def _missing() -> str:
    if not wrk.is_installed():
        return wrk.MISSING
    return "" if importlib.util.find_spec("transformers") else "transformers is not installed"


def _goals(text: Rates | None, images: Rates | None, wait: float | None, why: str = "") -> list[Goal]:
    def goal(what: str, limit: float, rates: Rates | None, name: str, base: str) -> Goal:
        value = ratio(rates[name], rates[base]) if rates else None
        return Goal(what, limit, value, " ×", at_least=True, why=why)

    one, four, sixteen = map(_name, CLIENTS)
    return [
        goal("tokens/s of one client, relative to transformers' own generate", 0.6, text, one, "generate"),
        goal("tokens/s of 4 clients, relative to one", 2, text, four, one),
        goal("tokens/s of 16 clients, relative to one", 4, text, sixteen, one),
        goal("with images, tokens/s of 4 clients, relative to one", 1.5, images, four, one),
        goal("with images, tokens/s of 16 clients, relative to one", 2.5, images, sixteen, one),
        Goal("time of a short answer during a long one, relative to the long one", 0.2, wait, why=why),
    ]


def _name(clients: int) -> str:
    return f"{clients} client{'s' * (clients > 1)}"


def _model(folder: Path) -> Path:
    from scripts.testbed.models.chat_qwen import build_qwen2_5_vl

    folder.mkdir(parents=True)
    build_qwen2_5_vl(folder, **_SHAPE)
    return folder


def _server(folder: Path, model: Path) -> RunningServer:
    env = {"OMP_NUM_THREADS": "1"}
    options = {"threads": 1, "prefix_cache_gb": 0, "image_cache_gb": 0}  # the same prompts are sent repeatedly
    entry = {"id": "chat", "engine": "transformers_chat", "source": str(model), "env": env, "options": options}
    return RunningServer(folder, [entry])


def _bodies(server: RunningServer, count: int, tokens: int, image: bool = False) -> Bodies:
    """Requests whose answers reach this number of tokens; with random weights, most do."""
    images = [{"type": "image_url", "image_url": {"url": data_uri(112, 84)}}] if image else []
    bodies: Bodies = []
    for number in itertools.count():
        body = _body([*images, {"type": "text", "text": f"Tell me about the number {number}."}], tokens)
        answer = server.post(_PATH, body)
        answer.raise_for_status()
        bodies += [body] if answer.json()["usage"]["completion_tokens"] == tokens else []
        if len(bodies) == count:
            break
    return bodies


def _body(content: Any, tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}]
    return {"model": "chat", "messages": messages, "max_tokens": tokens, "temperature": 0}


def _rates(setup: Setup, server: RunningServer, bodies: Bodies, model: Path) -> Rates:
    """Tokens per second with each number of clients, and of `generate`."""
    requests = model.parent / "requests.json"
    requests.write_text(json.dumps(bodies))
    seconds = setup.seconds(4)

    def served(clients: int) -> float:
        return TOKENS * wrk.run(f"{server.url}{_PATH}", bodies, clients=clients, seconds=seconds).rate

    with servers.meter("scripts.bench.generate", str(model), str(requests)) as generate:
        generate(0.1)
        variants = {_name(clients): partial(served, clients) for clients in CLIENTS}
        return in_turns(setup.rounds(5), {**variants, "generate": lambda: generate(seconds)})


def _short_during_long(server: RunningServer, long: dict[str, Any]) -> float:
    """The time of a short answer, requested after a long one has started, as a share of the long one's time."""
    started = time.perf_counter()
    with httpx2.stream("POST", f"{server.url}{_PATH}", json={**long, "stream": True}, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        sent = time.perf_counter()
        server.post(_PATH, _body("And you?", SHORT)).raise_for_status()
        answered = time.perf_counter()
        assert [*lines][-2:] == ["data: [DONE]", ""]
    return (answered - sent) / (time.perf_counter() - started)
