"""The gateway's peak memory for a large body, read from the kernel's high-water mark so that no peak is missed."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import os
from pathlib import Path

import psutil
import pytest

from tests.support.gateway_processes import FakeManagerProcess, configuration, eventually, run_gateway
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


LISTS = b",".join([b"[]"] * 100_000)
SAY = b'"messages":[{"role":"user","content":"hi"}]'
TOOL = b'{"type":"function","function":{"name":"f"}}'
REF = b'{"$ref":"#"}'
CHAT_SCHEMA = b"{" + SAY + b',"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":'


def form(*dispositions: bytes, value: bytes = b"x") -> bytes:
    """A multipart body with a part for each disposition, which may go on with headers."""
    parts = (
        b"--x\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + value + b"\r\n"
        for disposition in dispositions
    )
    return b"".join(parts) + b"--x--\r\n"


HOSTILE = {
    "empty objects": ("/v1/embeddings", b'{"model":"ok","input":[' + b",".join([b"{}"] * 100_000) + b"]}"),
    "empty lists": ("/v1/embeddings", b'{"model":"ok","input":[' + LISTS + b"]}"),
    "numbers": ("/v1/embeddings", b'{"model":"ok","input":[' + b",".join([b"1"] * MIB) + b"]}"),
    "wrong messages": ("/v1/chat/completions", b'{"messages":[' + b",".join([b'{"role":"user"}'] * 100_000) + b"]}"),
    "unknown fields": ("/v1/chat/completions", b"{" + SAY + b',"x":[' + b"[[[[[[]]]]]]," * (MIB // 4) + b"0]}"),
    "allowed lists": ("/v1/chat/completions", b"{" + SAY + b',"x":[' + b",".join([b"[]"] * 49_000) + b"]}"),
    "biases": ("/v1/chat/completions", b"{" + SAY + b',"logit_bias":{' + b",".join([b'"1":"x"'] * 49_000) + b"}}"),
    "an external server": ("/v1/anything", b'{"model":"external","x":[' + b"[]," * MIB + b"0]}"),
    "a long name": ("/v1/chat/completions", b'{"model":"' + b"x" * 8 * MIB + b'",' + SAY + b"}"),
    "an external name": ("/v1/anything", b'{"model":"' + b"x" * 8 * MIB + b'"}'),
    "two models": ("/v1/chat/completions", b'{"model":[' + b"0," * 390_000 + b'0],"model":"external",' + SAY + b"}"),
    "a long text": ("/v1/chat/completions", b'{"messages":[{"role":"user","content":"' + b"\\n" * 4 * MIB + b'"}]}'),
    "not base64": ("/v1/vision/ocr", b'{"model":"reader","image":"' + b"A" * 8 * MIB + b'!"}'),
    "one long number": ("/v1/chat/completions", b'{"model":"ok",' + SAY + b',"seed":' + b"1" * 8 * MIB + b"}"),
    "deep metadata": ("/v1/chat/completions", b"{" + SAY + b',"metadata":' + b'{"a":' * 49_000 + b"1" + b"}" * 49_001),
    "many tools": ("/v1/chat/completions", b"{" + SAY + b',"tools":[' + b",".join([TOOL] * 9_000) + b"]}"),
    "a deep schema": ("/v1/chat/completions", CHAT_SCHEMA + b'{"items":' * 20_000 + b"{}" + b"}" * 20_003),
    "many references": ("/v1/chat/completions", CHAT_SCHEMA + b'{"anyOf":[' + b",".join([REF] * 15_000) + b"]}}}}"),
    "many parts": ("/v1/vision/ocr", form(*[b'name="images"'] * 10_000)),
    "many names": ("/v1/vision/ocr", form(*(b'name="%d"' % number for number in range(4900)))),
    "a part's long name": ("/v1/vision/ocr", form(b'name="' + b"x" * 4 * MIB + b'"')),
    "a part with many headers": ("/v1/vision/ocr", form(b'name="image"' + b"\r\nX: y" * 400_000)),
    "a part like a head": ("/v1/vision/ocr", form(*[b'name="Transfer-Encoding"; filename="Host: x"'] * 4900)),
    "a long model in a form": ("/v1/vision/ocr", form(b'name="model"', value=b"x" * 8 * MIB)),
    "objects in a form": ("/v1/vision/segment", form(b'name="prompts"', value=b"[" + b"[]," * MIB + b"0]")),
    "a boundary that never comes": ("/v1/vision/ocr", b"\r\n--" + b"--x\r\n--" * MIB),
}  # fmt: skip
MULTIPLE, FLOOR = 8, 24 * MIB
"""The most memory that a body may take: a multiple of its size, and the limits of `contract.json_bounds` in bytes."""


def test_hostile_bodies_need_little_memory(manager: FakeManagerProcess, tmp_path: Path) -> None:
    with run_gateway(tmp_path, configuration(manager.port)) as gateway:
        gateway.wait_ready()
        small = {"model": "reader", "image": base64.b64encode(png(8, 8)).decode()}
        assert gateway.http.post("/v1/vision/ocr", json=small).status_code == 200  # imports Pillow
        pid, growth = gateway.process.pid, {}
        for name, (path, body) in HOSTILE.items():
            before = reset(pid)
            kind = "application/json" if body.startswith(b"{") else "multipart/form-data; boundary=x"
            answer = gateway.http.post(path, content=body, headers={"content-type": kind})
            growth[name] = peak(pid) - before - max(FLOOR, MULTIPLE * len(body))
            assert len(answer.content) < 10_000, f"{name}: the response repeats the body"
            print(f"{name}: {len(body) / MIB:.2f} MiB, {(peak(pid) - before) / MIB:.1f} MiB, {answer.text[:150]}")
        assert not {name for name, excess in growth.items() if excess > 0}


def test_bodies_of_all_requests_have_a_bound(manager: FakeManagerProcess, tmp_path: Path) -> None:
    settings = configuration(manager.port, gateway={"max_body_mb": 1, "max_bodies_mb": 1})
    message = {"role": "user", "content": "x" * (600 * 1024)}
    large, small = ({"messages": [{**message, "content": text}]} for text in (message["content"], "hi"))
    with run_gateway(tmp_path, settings) as gateway, concurrent.futures.ThreadPoolExecutor() as threads:
        gateway.wait_ready()
        first = threads.submit(gateway.http.post, "/v1/chat/completions", json=large | {"model": "hangs"}, timeout=120)
        held = "request_bodies_bytes 0.0"
        eventually(lambda: held not in gateway.http.get("/metrics").text)
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
        eventually(lambda: "request_bodies_refused_total 1.0" in gateway.http.get("/metrics").text)
        assert gateway.http.post("/v1/chat/completions", json=large | {"model": "ok"}).status_code == 200
        assert gateway.http.delete(f"/jobs/{first}").json()["status"] == "cancelled"
        eventually(lambda: gateway.http.get(f"/jobs/{second}").json()["status"] == "completed")
        eventually(lambda: "request_bodies_bytes 0.0" in gateway.http.get("/metrics").text)
