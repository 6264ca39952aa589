"""docs/clients.md names the versions of clients that the tests install."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator

from scripts.packages.installer import ROOT
from tests.support.client_packages import PYTHON_CLIENTS

_HELPERS = {"zod", "@langchain/core", "llama-index-embeddings-openai-like"}
"""Installed beside clients; no client itself."""


def _installed() -> Iterator[str]:
    """Each client with its version, as a row of the table names it; `(Node)` marks those of npm."""
    for requirement in (requirement for packages in PYTHON_CLIENTS.values() for requirement in packages):
        name, version = re.sub(r"\[.*?\]", "", requirement).split("==")
        yield f"{name} {version}"
    for folder in ("tests/e2e/clients/node", "tests/e2e/node"):
        pins = json.loads((ROOT / folder / "package.json").read_text())["dependencies"]
        yield from (f"{name} (Node) {version}" for name, version in pins.items())
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    own = (requirement.partition(">=") for requirement in (*extras["demo"], *extras["dev"]))
    yield from (f"{name} {version} and later" for name, _, version in own if name in {"openai", "anthropic"})


def _documented() -> Iterator[str]:
    """Each client with its version, by the rows of the table."""
    table = (ROOT / "docs" / "clients.md").read_text().partition("| Client |")[2].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        names, versions = (cell.strip().split(", ") for cell in row.split("|")[1:3])
        yield from (f"{name} {version}" for name, version in zip(names, versions, strict=True))


def test_clients_are_documented_with_the_installed_versions() -> None:
    installed = {client for client in _installed() if client.partition(" ")[0] not in _HELPERS}
    assert set(_documented()) == installed
