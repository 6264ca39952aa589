"""Finds the blocks of the pages of documentation, and runs those that are examples against a running server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ADDRESS = re.compile(r"(http://)?(localhost|127\.0\.0\.1):8000")
"""The server's address in the docs."""
_FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code. `page` is the file's path, `title` that of its section, `language` what follows the fence."""

    page: str
    title: str
    language: str
    text: str

    @property
    def first_line(self) -> str:
        return self.text.partition("\n")[0].strip()

    def __str__(self) -> str:
        return f"{Path(self.page).stem}-{self.title}-{self.language}-{self.first_line[:30]}"


def blocks(page: str) -> list[Block]:
    """All blocks of a page, which is the path of a file from the root of the project."""
    text = (ROOT / page).read_text()
    found = []
    for match in _FENCE.finditer(text):
        titles = re.findall(r"(?m)^#+ (.+)$", _FENCE.sub("", text[: match.start()]))
        found.append(Block(page, titles[-1], match[1], match[2]))
    return found


def examples(page: str, heading: str) -> list[Any]:
    """Each bash and Python example as a pytest parameter: title of its section, language, text.

    `heading` is what begins a section's title, such as `##`.
    """
    parts = re.split(rf"(?m)^{heading} (.+)$", page)[1:]
    sections = zip(parts[::2], parts[1::2], strict=True)
    found = [
        (title, *block)
        for title, text in sections
        for block in re.findall(r"(?s)```(bash|python)\n(.*?)```", text)
        if ADDRESS.search(block[1])
    ]
    return [pytest.param(*block, id=f"{block[0]}-{block[1]}-{number}") for number, block in enumerate(found)]


def run_example(language: str, text: str, url: str, folder: Path) -> str:
    """Run an example in `folder`, as printed but with the address `url`. Returns what it prints.

    As in a clone, `examples/` is there. An error of the server fails, also in an example with curl.
    """
    if not ADDRESS.search(text):  # it goes on from an earlier example with the client
        text = f"from client import Client\nhouse = Client('http://localhost:8000')\n{text}"
    program = {"bash": ["bash", "-euc"], "python": [sys.executable, "-c"]}[language]
    examples = folder / "examples"
    if not examples.exists():
        examples.symlink_to(ROOT / "examples")
    (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    return _output([*program, ADDRESS.sub(url, text)], folder)


def run_client(name: str, folder: Path, *arguments: str) -> str:
    """Run a program of examples/ in `folder`. Returns what it prints."""
    return _output([sys.executable, str(ROOT / "examples" / f"{name}.py"), *arguments], folder)


def _output(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CURL_HOME": str(folder)}  # examples import the client
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
