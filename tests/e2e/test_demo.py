"""`make demo` shows all it promises and exits with 0."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from scripts.demo.environment import build_missing
from scripts.demo.other_apis import REQUESTS
from scripts.testbed.server import PATIENCE

ROOT = Path(__file__).parents[2]
SHOWS = {
    "ocr": "Invoice 2048",
    "demo-chat": "streams random words",
    "minilm": "A kitten naps",
    "demo-image": "noise",
    "demo-depth": "Depth Anything V2 server: answered",
    "demo-detect": "boxed.png",
}
"""What each model's step prints."""


@pytest.mark.timeout(700)  # starts of real engines, next to other tests
@pytest.mark.parametrize(
    "models", [["ocr", "demo-chat"], pytest.param(list(SHOWS), marks=pytest.mark.e2e)], ids=["two", "all"]
)
def test_demo_passes_all_its_checks(models: list[str]) -> None:
    command = [sys.executable, "-m", "scripts.demo", *models]
    demo = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=680, check=False)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    for words in (*map(SHOWS.get, models), "times faster", "no process is left", "All checks passed."):
        assert words in demo.stdout
    apis = [request for request in REQUESTS if request[1] in models]
    assert demo.stdout.count("POST /") == demo.stdout.count("  200 {") == len(apis)
    once = models.count("demo-depth") + models.count("demo-detect")
    assert demo.stdout.count("starting → ready") == 2 * len(models) - once
    assert "demo/chat is here" in demo.stdout
    assert "are free again" in demo.stdout
    assert ("completed after" in demo.stdout) == ("demo-image" in models)


def test_models_are_built_once_and_without_bars(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = ["demo-depth", "demo-detect"]
    build_missing(names, tmp_path)
    files = {name: tmp_path / name / "model.safetensors" for name in names}
    built = {name: file.stat().st_mtime_ns for name, file in files.items()}
    build_missing(names, tmp_path)
    assert {name: file.stat().st_mtime_ns for name, file in files.items()} == built
    assert "Writing model shards" not in capfd.readouterr().err


def test_terminated_demo_leaves_no_process() -> None:
    command = [sys.executable, "-m", "scripts.demo", "minilm"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout
        next(line for line in demo.stdout if "ready after" in line)
        programs = psutil.Process(demo.pid).children(recursive=True)
        demo.terminate()
        demo.stdout.read()
    assert demo.returncode == 143
    assert programs
    assert psutil.wait_procs(programs, timeout=PATIENCE)[1] == []
