"""docs/openapi.json is the OpenAPI document of the gateway, so that each change of the API shows in a diff."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from contract.config import Settings
from gateway import app
from scripts.check import sources

PAGE = sources.ROOT / "docs" / "openapi.json"


def current() -> str:
    """The document as the code makes it, without keys."""
    with tempfile.TemporaryDirectory() as home:
        gateway = app.build(Settings(), Path(home))
        gateway.requires_key = False
        return json.dumps(gateway.openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write() -> None:
    """Bring the file up to date."""
    PAGE.write_text(current())


def problems() -> Iterable[str]:
    """One line if the file differs."""
    if not PAGE.exists() or PAGE.read_text() != current():
        yield f"{PAGE.relative_to(sources.ROOT)}: it is out of date; `make format` writes it"
