"""Finds the examples of a page of documentation and runs them against a running server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ADDRESS = "http://localhost:8000"
"""The server's address in the docs."""


def examples(page: str, heading: str) -> list[Any]:
    """Each bash and Python example as a pytest parameter: title of its section, language, text.

    `heading` is what begins a section's title, such as `##`.
    """
    parts = re.split(rf"(?m)^{heading} (.+)$", page)[1:]
    sections = zip(parts[::2], parts[1::2], strict=True)
    blocks = [
        (title, *block) for title, text in sections for block in re.findall(r"(?s)```(bash|python)\n(.*?)```", text)
    ]
    return [pytest.param(*block, id=f"{block[0]}-{block[1]}-{number}") for number, block in enumerate(blocks)]


def run_example(language: str, text: str, url: str, folder: Path) -> str:
    """Run an example in `folder`, as printed but with the address `url`. Returns what it prints."""
    assert ADDRESS in text
    program = {"bash": ["bash", "-euc"], "python": [sys.executable, "-c"]}[language]
    text = text.replace(ADDRESS, url)
    return _output([*program, text], folder)


def run_client(name: str, folder: Path, *arguments: str) -> str:
    """Run a program of examples/ in `folder`. Returns what it prints."""
    return _output([sys.executable, str(ROOT / "examples" / f"{name}.py"), *arguments], folder)


def _output(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # examples import the client
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
