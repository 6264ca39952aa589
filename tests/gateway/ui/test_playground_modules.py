"""The playground's pure JavaScript, run by Node, against Python's own encoders."""

from __future__ import annotations

import ast
import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.tasks import all_tasks
from gateway.routes.task_schemas import describe
from workers.engines.depth_anything.points import ply_file
from workers.engines.transformers_segment.masks import RunLengths

FOLDER = Path(__file__).parent / "playground"
ORIGIN = "http://localhost:8000"
SEED = 5

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="needs Node")


def vectors() -> dict[str, Any]:
    """Masks and points as the server encodes them, and every task as it describes it."""
    random = np.random.default_rng(SEED)
    masks = [random.random(shape) < share for shape, share in (((7, 5), 0.5), ((40, 60), 0.1), ((3, 200), 0.97))]
    masks += [np.zeros((4, 6), bool), np.ones((4, 6), bool)]
    points, colours = random.random((9, 3)).astype(np.float32), random.integers(0, 255, (9, 3), np.uint8)
    return {
        "origin": ORIGIN,
        "masks": [{"pixels": mask.astype(int).tolist(), "counts": compressed(mask)} for mask in masks],
        "ply": {
            "file": ply_file(points, colours).as_json(),
            "points": points.tolist(),
            "colours": colours.tolist(),
        },
        "tasks": [describe(task, []) for task in all_tasks().values()],
    }


def compressed(mask: Any) -> str:
    """COCO's run lengths of a mask."""
    pixels = mask.T.flatten()
    ends = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    counts = np.diff(ends, prepend=0, append=pixels.size)
    return RunLengths(*mask.shape, np.insert(counts, 0, 0) if pixels[0] else counts).compressed


@pytest.fixture(name="written", scope="module")
def _written(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The requests as curl and Python, once all tests in JavaScript have passed."""
    file = tmp_path_factory.mktemp("playground") / "vectors.json"
    output = file.with_name("written.json")
    file.write_text(json.dumps(vectors()))
    run = subprocess.run(
        ["node", "--test", "--test-reporter=tap", *map(str, sorted(FOLDER.glob("*.test.mjs")))],
        env={**os.environ, "VECTORS": str(file), "WRITTEN": str(output)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    sent: list[dict[str, Any]] = json.loads(output.read_text())
    return sent


def test_modules_in_javascript_pass_their_tests(written: list[dict[str, Any]]) -> None:
    assert len(written) > len(all_tasks())


def test_curl_commands_are_valid_shell_and_send_the_body(written: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "curl").write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\0" "$word"; done; cat\n')
    (tmp_path / "curl").chmod(0o755)
    for stem in ("image.png", "image-2.png", "recording.wav"):
        (tmp_path / stem).write_bytes(b"hello")
    for sent in written:
        run = subprocess.run(
            ["bash", "-c", sent["curl"]],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "ENGINEHOUSE_KEY": "the-key"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        *words, standard_input = run.stdout.split("\0")
        assert ORIGIN + sent["path"] in words
        if "-d" in words:
            text = standard_input if words[words.index("-d") + 1] == "@-" else words[words.index("-d") + 1]
            assert json.loads(text) == with_files(sent["body"])
        else:
            assert any(word.endswith(("=@image.png", "=@recording.wav")) for word in words)


def test_python_programs_send_the_body(written: list[dict[str, Any]], tmp_path: Path) -> None:
    for stem in ("image.png", "image-2.png", "recording.wav"):
        (tmp_path / stem).write_bytes(b"hello")
    for sent in written:
        call = ast.parse(sent["python"]).body[-2]
        assert isinstance(call, ast.Assign)
        assert isinstance(call.value, ast.Call)
        body = eval(
            compile(ast.Expression(call.value.args[2]), "<snippet>", "eval"), {"file": lambda name: f"file {name}"}
        )
        assert body.keys() == sent["body"].keys() - {"stream"}


def with_files(value: Any) -> Any:
    """The body as the shell sends it: every file has the same content here."""
    if isinstance(value, dict):
        return {name: with_files(part) for name, part in value.items()}
    if isinstance(value, list):
        return [with_files(part) for part in value]
    if isinstance(value, str) and value.startswith(("data:image/", "data:audio/")):
        return value.partition(",")[0] + "," + base64.b64encode(b"hello").decode()
    return value
