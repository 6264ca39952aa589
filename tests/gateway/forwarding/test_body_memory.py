"""The gateway's peak memory for a large body, read from the kernel's high-water mark so that no peak is missed."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import os
import re
from pathlib import Path

import psutil
import pytest

from tests.support.gateway_processes import FakeManagerProcess, configuration, eventually, run_gateway
from tests.support.hostile_bodies import HOSTILE, allowed, content_type
from tests.support.peak_memory import peak, reset
from tests.support.sample_images import png

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux has the high-water mark")

MIB = 2**20


def bodies() -> dict[str, tuple[str, bytes]]:
    """Requests of about 20 MB, by the way they contain their image."""
    text = base64.b64encode(png(8, 8) + os.urandom(15 * MIB)).decode()  # decoders stop at the end of the image
    content = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{text}"}}]
    chat = {"messages": [{"role": "user", "content": content}]}
    return {
        "chat": ("/v1/chat/completions", json.dumps(chat | {"model": "ok"}).encode()),
        "external": ("/v1/chat/completions", json.dumps(chat | {"model": "external"}).encode()),
        "ocr": ("/v1/vision/ocr", json.dumps({"model": "ok", "image": text}).encode()),
    }


@pytest.mark.parametrize("name", ["chat", "external", "ocr"])
def test_large_body_needs_less_than_three_times_its_size(
    manager: FakeManagerProcess, tmp_path: Path, name: str
) -> None:
    path, body = bodies()[name]
    assert 19 * MIB < len(body) < 25 * MIB
    with run_gateway(tmp_path, configuration(manager.port)) as gateway:
        gateway.wait_ready()
        small = {"model": "reader", "image": base64.b64encode(png(8, 8)).decode()}
        assert gateway.http.post("/v1/vision/ocr", json=small).status_code == 200  # imports Pillow
        pid = gateway.process.pid
        before = reset(pid)
        for _ in range(3):
            answer = gateway.http.post(path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 200, answer.text
        growth = (peak(pid) - before) / len(body)
        print(f"{name}: {growth:.2f} bodies at the peak")
        assert growth < 3
        # The response may arrive a moment before the gateway has released everything.
        eventually(lambda: psutil.Process(pid).memory_info().rss - before < len(body) / 2)


def test_hostile_bodies_need_little_memory(manager: FakeManagerProcess, tmp_path: Path) -> None:
    with run_gateway(tmp_path, configuration(manager.port)) as gateway:
        gateway.wait_ready()
        small = {"model": "reader", "image": base64.b64encode(png(8, 8)).decode()}
        assert gateway.http.post("/v1/vision/ocr", json=small).status_code == 200  # imports Pillow
        pid, growth = gateway.process.pid, {}
        for name, (path, body) in HOSTILE.items():
            before = reset(pid)
            answer = gateway.http.post(path, content=body, headers={"content-type": content_type(body)})
            growth[name] = peak(pid) - before - allowed(body)
            assert len(answer.content) < 10_000, f"{name}: the response repeats the body"
            print(f"{name}: {len(body) / MIB:.2f} MiB, {(peak(pid) - before) / MIB:.1f} MiB, {answer.text[:150]}")
        assert not {name for name, excess in growth.items() if excess > 0}


def test_bodies_of_all_requests_have_a_bound(manager: FakeManagerProcess, tmp_path: Path) -> None:
    settings = configuration(manager.port, gateway={"max_body_mb": 1, "max_bodies_mb": 1})
    message = {"role": "user", "content": "x" * (600 * 1024)}
    large, small = ({"messages": [{**message, "content": text}]} for text in (message["content"], "hi"))
    with run_gateway(tmp_path, settings) as gateway, concurrent.futures.ThreadPoolExecutor() as threads:
        gateway.wait_ready()
        hanging, headers = large | {"model": "hangs"}, {"x-request-id": "hanging"}
        first = threads.submit(gateway.http.post, "/v1/chat/completions", json=hanging, headers=headers, timeout=120)
        eventually(lambda: manager.received("hanging"))
        assert "request_bodies_bytes 0.0" not in gateway.http.get("/metrics").text
        refused = gateway.http.post("/v1/chat/completions", json=large | {"model": "ok"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "body_memory_full")
        assert refused.headers["retry-after"]
        assert gateway.http.post("/v1/chat/completions", json=small | {"model": "ok"}).status_code == 200
        gateway.process.terminate()
        assert first.result().status_code == 503


def test_bodies_of_running_jobs_count(manager: FakeManagerProcess, tmp_path: Path) -> None:
    settings = configuration(manager.port, gateway={"max_body_mb": 1, "max_bodies_mb": 2})
    large = {"model": "hangs", "messages": [{"role": "user", "content": "x" * (600 * 1024)}]}
    with run_gateway(tmp_path, settings) as gateway:
        gateway.wait_ready()

        def submit(model: str) -> str:
            return str(gateway.http.post("/jobs/submit/chat", json=large | {"model": model}).json()["job_id"])

        first = submit("hangs")
        eventually(lambda: manager.received(f"{first}-1"))
        assert "request_bodies_bytes 0.0" not in gateway.http.get("/metrics").text
        second = submit("ok")  # jobs may take half, which has no room for two
        eventually(lambda: re.search(r"request_bodies_refused_total [1-9]", gateway.http.get("/metrics").text))
        assert gateway.http.post("/v1/chat/completions", json=large | {"model": "ok"}).status_code == 200
        assert gateway.http.delete(f"/jobs/{first}").json()["status"] == "cancelled"
        eventually(lambda: gateway.http.get(f"/jobs/{second}").json()["status"] == "completed")
        eventually(lambda: "request_bodies_bytes 0.0" in gateway.http.get("/metrics").text)
