"""Named servers in a YAML file, each with its address and its key."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

SERVERS = Path(__file__).with_name("servers.yaml")
"""The file that is read by default."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as the client's functions take it: `predict_relative_depth(image, s.base_url, api_key=s.api_key)`."""

    base_url: str
    api_key: str | None = None
    model: str | None = None
    description: str | None = None


def load_servers(path: str | PathLike[str] = SERVERS) -> dict[str, Server]:
    """The servers of a file by name. Raises ValueError, which names what is wrong."""
    document = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    if not isinstance(document, dict):
        raise ValueError(f"{path}: write a name for each server, and its `base_url` below it")
    return {str(name): _server(f"{path}: {name}", entry) for name, entry in document.items()}


def _server(where: str, entry: Any) -> Server:
    if not isinstance(entry, dict) or not entry.get("base_url"):
        raise ValueError(f"{where} needs a `base_url`, such as http://localhost:8000")
    if unknown := entry.keys() - Server.__dataclass_fields__.keys():
        raise ValueError(f"{where} has the unknown key {min(map(str, unknown))!r}")
    return Server(**entry)
