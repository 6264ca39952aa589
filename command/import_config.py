"""`enginehouse import-config FILE`: prints a config.yaml made from another server's configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from command.session import CommandError, Session
from contract.config import ConfigError
from scripts.import_config.reading import convert


def import_config(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="A configuration of llama-swap or the Homelab API, Ollama's list, or its folder of models"),
    ],
) -> None:
    """Print a config.yaml made from another server's configuration; what cannot be carried over is named on stderr."""
    session = Session.of(context)
    notes: list[str] = []
    try:
        settings = convert(file, notes.append)
    except ConfigError as error:
        raise CommandError(f"{file}: {error}") from None
    if session.as_json:
        session.show({"config": settings, "not_carried_over": notes})
        return
    print(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), end="")
    for sentence in notes:
        sys.stderr.write(f"not carried over: {sentence}.\n")
