"""A server asked as its clients of other image and vision APIs ask: small things that each of them expects."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from contract.sample_image import SAMPLE_IMAGE
from scripts.testbed.server import ROOT, RunningServer, eventually, fake_model, in_background
from tests.support.doc_examples import run_client

DRAW = {"model": "m", "prompt": "고양이", "size": "16x16"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("seed")
    models = [
        {**fake_model("m"), "default": ["image-generation", "analyze"]},
        fake_model("slow", load_gate=str(folder / "slow"), memory_gb=0.05),
        fake_model("oom", oom_at_load=True, memory_gb=0.01),
        fake_model("big", memory_mb=600),
        fake_model("holding", memory_mb=600, gate=str(folder / "gate")),
        {"id": "moon", "engine": "moondream", "source": "vikhyatk/moondream2"},
    ]
    with RunningServer(
        folder, models, memory={"max_ram_gb": 1, "safety_margin_gb": 0}, manager={"worker_ports": "18401-18440"}
    ) as server:
        yield server
        (folder / "gate").touch()


def test_answers_have_the_revised_prompt(server: RunningServer) -> None:
    assert server.post("/v1/images/generations", DRAW).json()["data"][0]["revised_prompt"] == DRAW["prompt"]


def test_keep_alive_holds_after_the_answer(server: RunningServer) -> None:
    def expires_in() -> float | None:
        [worker] = server.workers("m")
        return worker["expires_in"] if worker["leases"] == 0 else None

    assert server.post("/v1/images/generations", {**DRAW, "keep_alive": "20m"}).status_code == 200
    eventually("it stays for 20 minutes", lambda: 600 < (expires_in() or 0) <= 1200)
    caption = {"model": "m", "image": SAMPLE_IMAGE, "task": "caption", "keep_alive": 100}
    assert server.post("/v1/vision/analyze", caption).status_code == 200
    eventually("the last request counts", lambda: 0 < (expires_in() or 0) <= 100)


def test_metrics_count_inference_and_gpus_alone(server: RunningServer) -> None:
    server.post("/v1/images/generations", DRAW)
    counted = 'model_inference_duration_seconds_count{model="m"}'
    eventually("it is counted", lambda: counted in server.get("/metrics").text)
    metrics = server.get("/metrics").text
    assert 'memory_used_bytes{device="cpu"}' in metrics
    assert 'gpu_memory_used_bytes{device="cpu"}' not in metrics


def test_workers_listen_in_the_range_and_tell_their_health(server: RunningServer) -> None:
    server.post("/v1/images/generations", DRAW)
    [worker] = server.workers("m")
    assert 18401 <= int(worker["url"].rpartition(":")[2]) <= 18440
    for path in ("/health", "/healthz"):
        assert httpx2.get(worker["url"] + path, trust_env=False).json() == {"status": "healthy"}


def test_out_of_memory_at_load_has_its_code(server: RunningServer) -> None:
    eventually("it backs off", lambda: server.chat("oom").status_code == 503)
    error = server.chat("oom").json()["error"]
    assert error["code"] == "out_of_memory"
    assert "quantised" in error["message"]


def test_a_short_wait_says_that_the_model_is_loading(server: RunningServer) -> None:
    server.begin_loading("slow")
    body = {"model": "slow", "messages": [{"role": "user", "content": "x"}]}
    answer = server.post("/v1/chat/completions", body, headers={"x-max-wait": "1"})
    assert answer.status_code == 504
    message = answer.json()["error"]["message"]
    assert "Enginehouse is loading slow" in message
    assert "X-Max-Wait" in message
    (server.folder / "slow").touch()


def test_a_wait_for_memory_names_memory_and_settings(server: RunningServer) -> None:
    assert server.chat("big", keep_alive=0).status_code == 200
    eventually("its need is known", lambda: server.model("big")["footprint_learned"] and not server.workers("big"))
    in_background(server.chat, "holding")
    eventually("it holds memory", lambda: [w for w in server.workers("holding") if w["leases"]])
    body = {"model": "big", "messages": [{"role": "user", "content": "x"}]}
    answer = server.post("/v1/chat/completions", body, headers={"x-max-wait": "1"})
    error = answer.json()["error"]
    assert answer.status_code == 504
    assert "There was no memory for it on cpu: it needs 0.6" in error["message"]
    assert "memory.max_ram_gb" in error["message"]


def test_preflights_without_allowed_origins_say_how_to_allow_one(server: RunningServer) -> None:
    headers = {"origin": "https://page.example", "access-control-request-method": "POST"}
    answer = httpx2.options(server.url + "/v1/images/generations", headers=headers, trust_env=False)
    assert answer.status_code == 403
    assert "CORS_ORIGINS" in answer.json()["error"]["message"]


def test_models_say_which_consent_they_need(server: RunningServer) -> None:
    needs = {model["id"]: model["needs"] for model in server.get("/v1/models").json()["data"]}
    assert "`trust_remote_code: true` to the entry moon" in needs["moon"]
    assert needs["m"] is None
    assert server.model("moon")["needs"] == needs["moon"]


def test_vision_insight_client(server: RunningServer, tmp_path: Path) -> None:
    printed = run_client("vision_insight", tmp_path, "우주의 고양이", server.url)
    assert "drawn.png: " in printed
    assert "seed 42" in printed
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")
    assert "caption: " in printed
    assert "이 이미지에 뭐가 있어? (1 images)" in printed
    assert re.search(r"^m#\d+: ready", printed, re.MULTILINE)


def run(script: str, server: RunningServer, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    manager = (server.home / "manager" / "address").read_text().strip()
    environment = {**os.environ, "GATEWAY_URL": server.url, "MANAGER_URL": manager, **environ}
    command = [str(ROOT / "scripts" / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_smoke_scripts(server: RunningServer, tmp_path: Path) -> None:
    local = run("test-local.sh", server)
    assert (local.returncode, local.stdout.count("ok ")) == (0, 6), local.stdout
    image = tmp_path / "image.png"
    drawn = run("test-image-gen.sh", server, 'a "cat"', str(image), SIZE="16x16", STEPS="2")
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    assert image.read_bytes().startswith(b"\x89PNG")
    failed = run("test-image-gen.sh", server, MODEL="nowhere")
    assert failed.returncode == 1
    assert "model_not_found" in failed.stdout
    wrong = run("test-image-gen.sh", server, STEPS="many")
    assert wrong.returncode == 1
    assert "`steps`" in wrong.stdout


def test_smoke_script_fails_without_a_server(server: RunningServer) -> None:
    broken = run("test-local.sh", server, GATEWAY_URL="http://127.0.0.1:9")
    assert broken.returncode == 1
    assert "make status" in broken.stdout
    assert "make start" in run("test-image-gen.sh", server, GATEWAY_URL="http://127.0.0.1:9").stdout
