"""What caches save in a second turn, and how long a prompt delays running answers, with and without chunks."""

from __future__ import annotations

import importlib.util
import itertools
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from scripts.bench.images import data_uri
from scripts.bench.measurement import Goal, Result, Setup, in_turns, ratio
from scripts.testbed.server import RunningServer

WORDS, LONG, TOKENS = 400, 2000, 400
_PATH = "/v1/chat/completions"
_SHAPE = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 8}
_TITLE = "Second turns, and long prompts beside running answers"
_TEXT = f"""
One server has the Qwen2.5-VL with 3 million random weights three times: with default options, without the prefix and
image caches, and without caches and chunked prefill. They are measured in turns. A first turn has about {WORDS * 4}
tokens, with or without an image; the measured time is until the first token of the second turn, which repeats the
first. Then an answer of {TOKENS} tokens is streamed while a prompt of {LONG} tokens is read; the longest gap between
two of its chunks is measured.
"""
_NO_CACHES = {"prefix_cache_gb": 0, "image_cache_gb": 0}
_ENTRIES: dict[str, dict[str, Any]] = {
    "default": {},
    "no-caches": _NO_CACHES,
    "whole": {**_NO_CACHES, "prefill_chunk": 0},
}

_BEFORE = 10
"""The number of streamed chunks after which the long prompt is sent."""

_numbers = itertools.count(1)


def measure(setup: Setup) -> Result:
    """The time to the first token of a second turn, and the longest gap of a running answer."""
    if importlib.util.find_spec("transformers") is None:
        return Result(_TITLE, _TEXT, _goals(None, None, None, "transformers is not installed"))
    with ExitStack() as stack:
        server = stack.enter_context(_server(setup.folder / "turns"))
        cached, uncached, whole = _ENTRIES
        second = {
            image: in_turns(
                setup.rounds(7), {name: partial(_second_turn, server, name, image) for name in (cached, uncached)}
            )
            for image in (False, True)
        }
        gaps = in_turns(setup.rounds(5), {name: partial(_gap, server, name) for name in (uncached, whole)})
    rows = [
        ("second turn, text", cached, _milliseconds(second[False][cached])),
        ("second turn, text", uncached, _milliseconds(second[False][uncached])),
        ("second turn, an image", cached, _milliseconds(second[True][cached])),
        ("second turn, an image", uncached, _milliseconds(second[True][uncached])),
        ("longest gap", uncached, _milliseconds([longest for longest, _ in gaps[uncached]])),
        ("longest gap", whole, _milliseconds([longest for longest, _ in gaps[whole]])),
    ]
    faster = [ratio(times[uncached], times[cached]) for times in second.values()]
    longest = ratio([longest for longest, _ in gaps[uncached]], [longest for longest, _ in gaps[whole]])
    steps = statistics.median(longest / median for longest, median in gaps[uncached])
    return Result(_TITLE, _TEXT, _goals(faster, longest, steps), ("measurement", "options", "milliseconds"), rows)


def _goals(faster: list[float] | None, longest: float | None, steps: float | None, why: str = "") -> list[Goal]:
    text, image = faster or (None, None)
    return [
        Goal("second turn, times faster to the first token", 3, text, " ×", at_least=True, why=why),
        Goal("second turn with an image, times faster to the first token", 3, image, " ×", at_least=True, why=why),
        Goal("longest gap while a long prompt is read in chunks, relative to reading it whole", 0.3, longest, why=why),
        Goal("longest gap while a long prompt is read in chunks, in decode steps", 10, steps, " ×", why=why),
    ]


def _server(folder: Path) -> RunningServer:
    from scripts.testbed.models.chat_qwen import build_qwen2_5_vl

    model = folder / "model"
    model.mkdir(parents=True)
    build_qwen2_5_vl(model, **_SHAPE)
    env = {"OMP_NUM_THREADS": "1"}
    entries = [
        {"engine": "transformers_chat", "source": str(model), "env": env, "id": name, "options": {"threads": 1, **more}}
        for name, more in _ENTRIES.items()
    ]
    return RunningServer(folder, entries)


def _second_turn(server: RunningServer, name: str, image: bool) -> float:
    """Seconds until the second turn's first token."""
    number = next(_numbers)
    images = [{"type": "image_url", "image_url": {"url": data_uri(112, 84)}}] if image else []
    words = f"Conversation {number}. " + " ".join(str(number + index) for index in range(WORDS))
    messages: list[dict[str, Any]] = [{"role": "user", "content": [*images, {"type": "text", "text": words}]}]
    answer = server.post(_PATH, _body(name, messages, 16)).json()["choices"][0]["message"]["content"]
    messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "And then?"}]
    started = time.perf_counter()
    with _stream(server, _body(name, messages, 2)) as chunks:
        next(chunks)
        return time.perf_counter() - started


def _gap(server: RunningServer, name: str) -> tuple[float, float]:
    """The longest and the median time between two chunks of an answer, in seconds, while a long prompt is read."""
    number = next(_numbers)
    words = [{"role": "user", "content": f"Tell me about the number {number}."}]
    long = [{"role": "user", "content": f"{number} " * (LONG // len(f"{number} "))}]
    reading = threading.Thread(target=server.post, args=(_PATH, _body(name, long, 1)))
    gaps: list[float] = []
    with _stream(server, _body(name, words, TOKENS)) as chunks:
        last = time.perf_counter()
        for number, _ in enumerate(chunks):
            if number == _BEFORE:
                reading.start()
            gaps.append(time.perf_counter() - last)
            last += gaps[-1]
    reading.join()
    return max(gaps[_BEFORE:]), statistics.median(gaps)


@contextmanager
def _stream(server: RunningServer, body: dict[str, Any]) -> Iterator[Iterator[str]]:
    """The chunks of a streamed answer."""
    with httpx2.stream("POST", f"{server.url}{_PATH}", json={**body, "stream": True}, timeout=60) as response:
        yield (line for line in response.iter_lines() if line.startswith("data: {"))


def _body(name: str, messages: list[dict[str, Any]], tokens: int) -> dict[str, Any]:
    return {"model": name, "messages": messages, "max_tokens": tokens, "temperature": 0}


def _milliseconds(times: list[float]) -> str:
    return f"{statistics.median(times) * 1e3:.1f}"
