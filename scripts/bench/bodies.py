"""How long a large body keeps the gateway's event loop from turning while it is read, checked and forwarded."""

from __future__ import annotations

import asyncio
import gc
import json
import time

from contract.errors import ServeError
from contract.json_writer import json_pieces
from contract.long_texts import return_large_blocks
from contract.media import data_uri
from contract.tasks import Task, all_tasks
from gateway.forwarding.offload import offload
from gateway.forwarding.replace_model import replace_model
from gateway.forwarding.task_forwarder import decode
from scripts.bench.measurement import Goal, Result, Setup

MIB = 2**20
JSON = "application/json"
PNG = data_uri(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08\x08\2\0\0\0K").removesuffix("=")
_TEXT = """
Each body goes through what the gateway does with it: it is decoded and checked, its `model` is replaced as for external
servers, and the request is written again as for fetched images. Meanwhile an event loop turns in the same process. The
value is the CPU time of the process between two turns, so that other load on the machine does not count. A thread that
works beside the loop gives it a turn every 5 ms; what exceeds that is a step that cannot be interrupted.
"""


def _chat(content: str, ascii_only: bool = False, **fields: object) -> bytes:
    request = {"model": "m", "messages": [{"role": "user", "content": content}], **fields}
    return json.dumps(request, ensure_ascii=ascii_only).encode()


def _bodies(size: int) -> dict[str, tuple[str, bytes]]:
    """A task and a body of about `size` MiB each, within the limits of a request."""
    length = size * MIB
    text, short = min(length, 10 * MIB), min(length // 4, 4 * MIB)
    return {
        "a long text": ("chat", _chat("x" * text)),
        "a long text in Chinese": ("chat", _chat("你" * (text // 3))),
        "a long text in escapes": ("chat", _chat("你" * short, ascii_only=True)),
        "a text that becomes wide at its end": ("chat", _chat("x" * (short - 2) + "😀")),
        "quotes": ("chat", _chat('"' * (text // 2))),
        "a long image": ("ocr", json.dumps({"image": PNG + "A" * length}).encode()),
        "a long unknown field": ("chat", _chat("hi", extra="x" * length)),
        "a long name": ("chat", _chat("hi", user="x" * length)),
        "texts of 4,000 characters": ("chat", _chat("hi", extra=["x" * 4_000] * (length // 4_004))),
        "texts of 200 characters": ("chat", _chat("hi", extra=["x" * 200] * min(length // 204, 140_000))),
        "texts of 20 characters": ("chat", _chat("hi", extra=["x" * 20] * min(length // 24, 140_000))),
        "token ids": ("embeddings", json.dumps({"input": [[1] * 2048] * min(length // 6_144, 190)}).encode()),
        "many messages": ("chat", json.dumps({"messages": [{"role": "user", "content": "hi"}] * 4_096}).encode()),
        "numbers": ("chat", _chat("hi", extra=[0.12345] * 390_000)),
        "fields": ("chat", _chat("hi", extra={f"{number}": 1 for number in range(49_000)})),
        "many objects": ("chat", _chat("hi", extra=[{}] * 49_000)),
    }


def measure(setup: Setup) -> Result:
    """The longest time between two turns of the loop for each body, in milliseconds of CPU time."""
    return_large_blocks()  # as the gateway does at its start
    gc.freeze()
    size = 1 if setup.quick else 60
    steps: dict[str, list[tuple[int, float]]] = {}
    for _ in range(setup.rounds(3)):
        for name, (task, body) in _bodies(size).items():
            steps.setdefault(name, []).append((len(body), asyncio.run(_longest_step(all_tasks()[task], body))))
    # The shortest of the rounds: now and then the system adds some, such as a collection of garbage.
    longest = {name: (values[0][0], 1000 * min(step for _, step in values)) for name, values in steps.items()}
    worst = max(step for _, step in longest.values())
    goals = [Goal("the loop turns again after", 50, worst, " ms")]
    rows = [(name, f"{length / MIB:.1f} MiB", f"{step:.1f} ms") for name, (length, step) in longest.items()]
    return Result("Large bodies", _TEXT, goals, ("body", "size", "longest time between two turns"), rows)


async def _longest_step(task: Task, body: bytes) -> float:  # type: ignore[type-arg]
    """The most seconds of CPU time between two turns of the loop while a body is handled."""
    working = asyncio.create_task(_handle(task, body))
    longest, last = 0.0, time.process_time()
    while not working.done():
        await asyncio.sleep(0)
        now = time.process_time()
        longest, last = max(longest, now - last), now
    await working
    return longest


async def _handle(task: Task, body: bytes) -> None:  # type: ignore[type-arg]
    try:
        request = await offload(len(body), decode, task, JSON, body)
    except ServeError:
        return  # that it is too much takes time to see, too
    await offload(len(body), replace_model, body, "another")
    await asyncio.to_thread(json_pieces, request)
