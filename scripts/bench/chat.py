"""Chat under several clients, with and without pictures, beside transformers' own generate, prompt after prompt."""

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
from scripts.bench.measurement import Goal, Result, Setup, in_turns, ratio
from scripts.bench.pictures import data_uri
from scripts.testbed.server import RunningServer

CLIENTS = (1, 4, 16)
TOKENS, LONG, SHORT = 32, 400, 4
_PROMPTS = 16
_SHAPE = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 8}
_PATH = "/v1/chat/completions"
_TITLE = "Chat under several clients"
_TEXT = f"""
A Qwen2.5-VL of 3 million random weights on one thread of torch; every answer has {TOKENS} tokens, and each client asks
again as soon as it has its answer (wrk). Newcomers join those that are being answered at the next token. Beside it a
process that calls `generate` for one of the same prompts after another, as transformers' own server does.
The short answer has {SHORT} tokens and is asked for when a long one, of {LONG}, has begun.
"""

Bodies = list[dict[str, Any]]
Rates = dict[str, list[float]]


def measure(setup: Setup) -> Result:
    """Tokens a second, all ways in turns, and how long a short answer takes amid a long one."""
    if missing := _missing():
        return Result(_TITLE, _TEXT, _goals(None, None, None, missing))
    folder = setup.folder / "chat"
    model = _model(folder / "model")
    with ExitStack() as stack:
        house = stack.enter_context(_house(folder, model))
        seen = [_rates(setup, house, _bodies(house, _PROMPTS, TOKENS, picture), model) for picture in (False, True)]
        [long] = _bodies(house, 1, LONG)
        waits = [_short_amid_long(house, long) for _ in range(setup.rounds(5))]
    words, pictures = seen
    rows = [(way, *(f"{statistics.median(rates[way]):,.0f}" for rates in seen)) for way in words]
    goals = _goals(words, pictures, statistics.median(waits))
    return Result(_TITLE, _TEXT, goals, ("way", "tokens/s, words alone", "tokens/s, a picture each"), rows)


def _missing() -> str:
    if not wrk.is_installed():
        return wrk.MISSING
    return "" if importlib.util.find_spec("transformers") else "transformers is not installed"


def _goals(words: Rates | None, pictures: Rates | None, wait: float | None, why: str = "") -> list[Goal]:
    def goal(what: str, limit: float, rates: Rates | None, way: str, of: str) -> Goal:
        value = ratio(rates[way], rates[of]) if rates else None
        return Goal(what, limit, value, " ×", at_least=True, why=why)

    one, four, sixteen = map(_name, CLIENTS)
    return [
        goal("tokens/s from one client, of transformers' own generate", 0.6, words, one, "generate"),
        goal("tokens/s from 4 clients, of one's", 2, words, four, one),
        goal("tokens/s from 16 clients, of one's", 4, words, sixteen, one),
        goal("with pictures, tokens/s from 4 clients, of one's", 1.5, pictures, four, one),
        goal("with pictures, tokens/s from 16 clients, of one's", 2, pictures, sixteen, one),
        Goal("time of a short answer amid a long one, of the long one's", 0.2, wait, why=why),
    ]


def _name(clients: int) -> str:
    return f"{clients} client{'s' * (clients > 1)}"


def _model(folder: Path) -> Path:
    from scripts.testbed.models.chat import build_qwen2_5_vl

    folder.mkdir(parents=True)
    build_qwen2_5_vl(folder, **_SHAPE)
    return folder


def _house(folder: Path, model: Path) -> RunningServer:
    one = {"OMP_NUM_THREADS": "1"}
    options = {"threads": 1}
    entry = {"id": "chat", "engine": "transformers_chat", "source": str(model), "env": one, "options": options}
    return RunningServer(folder, [entry])


def _bodies(house: RunningServer, count: int, tokens: int, picture: bool = False) -> Bodies:
    """Requests whose answers do not end before they have so many tokens: with random weights, most do not."""
    seen = [{"type": "image_url", "image_url": {"url": data_uri(112, 84)}}] if picture else []
    found: Bodies = []
    for number in itertools.count():
        body = _body([*seen, {"type": "text", "text": f"Tell me about the number {number}."}], tokens)
        answer = house.post(_PATH, body)
        answer.raise_for_status()
        found += [body] if answer.json()["usage"]["completion_tokens"] == tokens else []
        if len(found) == count:
            break
    return found


def _body(content: Any, tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}]
    return {"model": "chat", "messages": messages, "max_tokens": tokens, "temperature": 0}


def _rates(setup: Setup, house: RunningServer, bodies: Bodies, model: Path) -> Rates:
    """Tokens a second with each number of clients, and by `generate`."""
    requests = model.parent / "requests.json"
    requests.write_text(json.dumps(bodies))
    seconds = setup.seconds(4)

    def served(clients: int) -> float:
        return TOKENS * wrk.run(f"{house.url}{_PATH}", bodies, clients=clients, seconds=seconds).rate

    with servers.meter("scripts.bench.generate", str(model), str(requests)) as generate:
        generate(0.1)
        ways = {_name(clients): partial(served, clients) for clients in CLIENTS}
        return in_turns(setup.rounds(5), {**ways, "generate": lambda: generate(seconds)})


def _short_amid_long(house: RunningServer, long: dict[str, Any]) -> float:
    """The share of a long answer's time that a short one takes which is asked for once the long one has begun."""
    started = time.perf_counter()
    with httpx2.stream("POST", f"{house.url}{_PATH}", json={**long, "stream": True}, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        asked = time.perf_counter()
        house.post(_PATH, _body("And you?", SHORT)).raise_for_status()
        answered = time.perf_counter()
        assert [*lines][-2:] == ["data: [DONE]", ""]
    return (answered - asked) / (time.perf_counter() - started)
