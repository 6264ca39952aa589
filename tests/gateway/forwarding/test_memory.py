"""What a large body costs the gateway: read from the kernel's own high-water mark, so that no peak is missed."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import psutil
import pytest

from tests.support.gateway_processes import Manager, configuration, eventually, run_gateway
from tests.support.sample_images import png

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the mark is Linux's")

MIB = 2**20


def peak(pid: int) -> int:
    """Most resident bytes since the mark was reset."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def reset(pid: int) -> int:
    """Set the mark to what is resident now, and tell it."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return psutil.Process(pid).memory_info().rss


def bodies() -> dict[str, tuple[str, bytes]]:
    """Requests of about 20 MB, by how they carry their picture."""
    text = base64.b64encode(png(8, 8) + os.urandom(15 * MIB)).decode()  # readers stop where the picture ends
    content = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{text}"}}]
    chat = {"messages": [{"role": "user", "content": content}]}
    return {
        "chat": ("/v1/chat/completions", json.dumps(chat | {"model": "ok"}).encode()),
        "foreign": ("/v1/chat/completions", json.dumps(chat | {"model": "foreign"}).encode()),
        "ocr": ("/v1/vision/ocr", json.dumps({"model": "ok", "image": text}).encode()),
    }


@pytest.mark.parametrize("kind", ["chat", "foreign", "ocr"])
def test_a_large_body_costs_less_than_three_of_it(manager: Manager, tmp_path: Path, kind: str) -> None:
    path, body = bodies()[kind]
    assert 19 * MIB < len(body) < 25 * MIB
    with run_gateway(tmp_path, configuration(manager.port)) as gateway:
        gateway.wait_ready()
        small = {"model": "reader", "image": base64.b64encode(png(8, 8)).decode()}
        assert gateway.http.post("/v1/vision/ocr", json=small).status_code == 200  # Pillow is imported by now
        pid = gateway.process.pid
        rest = reset(pid)
        for _ in range(3):
            answer = gateway.http.post(path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 200, answer.text
        grown = (peak(pid) - rest) / len(body)
        print(f"{kind}: {grown:.2f} bodies at the peak")
        assert grown < 3
        # The answer may be here a moment before the gateway has let go of everything.
        eventually(lambda: psutil.Process(pid).memory_info().rss - rest < len(body) / 2)
