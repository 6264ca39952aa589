"""The overhead of gateway and manager with all features on, compared with a minimal chain of two proxies."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx2

from contract.config import hash_key
from scripts.bench import litellm, servers, wrk
from scripts.bench.measurement import Goal, Result, Setup, in_turns, ratio
from scripts.bench.wrk import Load
from scripts.testbed.server import RunningServer

KEY = "sk-bench"
MESSAGES = [{"role": "user", "content": "What do two hops cost?"}]
BODY: dict[str, object] = {"model": "upstream", "messages": MESSAGES, "temperature": 0}
CLIENTS = 32
_TEXT = """
All chains lead to the same minimal uvicorn server, which answers with 1 KB of JSON. Enginehouse has keys, a rate
limit, an access log in a file and metrics. The bare chain is `scripts/bench/bare.py`: FastAPI, pydantic and aiohttp,
then plain ASGI and aiohttp, and nothing else. The nginx chain is two nginx proxies. wrk generates the load, on one
chain after another.
"""


def build_server(folder: Path) -> RunningServer:
    """A server as in production, with the minimal uvicorn server as its worker."""
    command = shlex.join(servers.upstream_command("${PORT}")).replace("'${PORT}'", "${PORT}")
    model = {"id": "upstream", "engine": "command", "tasks": ["chat"], "options": {"cmd": command}}
    keys = [{"name": "bench", "key_hash": hash_key(KEY), "rate_limit": "100000/second"}]
    return RunningServer(folder, [model], gateway={"api_key": "another-key"}, security={"api_keys": keys})


def measure(setup: Setup) -> Result:
    """Requests per second with 32 clients, and the median latency with one."""
    title = "Overhead of gateway and manager"
    if not wrk.is_installed():
        return Result(title, _TEXT, _goals({}, wrk.MISSING))
    with ExitStack() as stack:
        chains = _chains(setup, stack)
        for url in chains.values():
            _request(url)  # starts the worker
            _load(url, CLIENTS, setup.seconds(1))
        many = _in_turns(chains, CLIENTS, setup)
        one = _in_turns(chains, 1, setup)
    rates = {name: [load.rate for load in loads] for name, loads in many.items()}
    p50s = {name: [load.p50 for load in loads] for name, loads in one.items()}
    ratios = {name: (ratio(rates[name], rates["bare"]), ratio(p50s[name], p50s["bare"])) for name in chains}
    goals = _goals(ratios, "")
    rows = [_row(name, rates[name], p50s[name], *ratios[name]) for name in chains]
    columns = ("chain", f"requests/s, {CLIENTS} clients", "p50, 1 client", "rate / bare", "p50 / bare")
    return Result(title, _TEXT, goals, columns, rows)


def _chains(setup: Setup, stack: ExitStack) -> dict[str, str]:
    running = stack.enter_context(build_server(setup.folder / "overhead"))
    chains = {"enginehouse": running.url, "bare": stack.enter_context(servers.bare_chain())}
    if servers.has_nginx():
        chains["nginx"] = stack.enter_context(servers.nginx_chain(setup.folder / "nginx"))
    if "litellm" in setup.peers and litellm.program():
        chains["litellm"] = stack.enter_context(litellm.chain(setup.folder / "litellm", KEY))
    return chains


def _request(url: str) -> None:
    path, headers = f"{url}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
    httpx2.post(path, json=BODY, headers=headers, timeout=60, trust_env=False).raise_for_status()


def _load(url: str, clients: int, seconds: float) -> Load:
    target = f"{url}/v1/chat/completions"
    return wrk.run(target, [BODY], clients=clients, seconds=seconds, key=KEY)


def _in_turns(chains: Mapping[str, str], clients: int, setup: Setup) -> dict[str, list[Load]]:
    def turn(url: str) -> Callable[[], Load]:
        return lambda: _load(url, clients, setup.seconds(2))

    return in_turns(setup.rounds(7), {name: turn(url) for name, url in chains.items()})


def _row(name: str, rates: list[float], p50s: list[float], rate: float, p50: float) -> tuple[str, ...]:
    medians = f"{statistics.median(rates):,.0f}", f"{statistics.median(p50s):.2f} ms"
    return (name, *medians, f"{rate:.0%}", f"{p50:.2f} ×")


def _goals(ratios: Mapping[str, tuple[float, float]], why: str) -> list[Goal]:
    rate, p50 = ratios.get("enginehouse", (None, None))
    goals = [
        Goal(f"requests/s with {CLIENTS} clients, relative to the bare chain", 0.75, rate, at_least=True, why=why),
        Goal("p50 with one client, relative to the bare chain", 1.4, p50, " ×", why=why),
    ]
    if peer := ratios.get("litellm"):
        assert rate
        assert p50
        goals.append(Goal("requests/s, relative to LiteLLM", 15, rate / peer[0], " ×", at_least=True))
        goals.append(Goal("p50, relative to LiteLLM", 1 / 6, p50 / peer[1], " ×"))
    return goals
