"""`enginehouse doctor`: runs all checks and prints what they found."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator

import typer
from rich.text import Text

from command.doctor import devices, host
from command.doctor.finding import Finding, Machine, problem
from command.exit_codes import FAILED
from command.places import Places
from command.session import Session
from contract import config
from contract.config import ConfigError, Settings

CHECKS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    devices.device, devices.libraries, host.ports, host.access, host.disk, host.tokens, host.containers, host.names,
)  # fmt: skip
_STYLES = {"fine": "green", "warning": "yellow", "problem": "red"}


def doctor(context: typer.Context) -> None:
    """Check this machine: device, driver, libraries, ports, disk, tokens, containers. Exits with 1 for a problem."""
    session = Session.of(context)
    findings = list(examine(Places.find()))
    session.show([dataclasses.asdict(finding) for finding in findings], *map(_line, findings))
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(FAILED)


def examine(places: Places) -> Iterator[Finding]:
    """What all checks find. A check that fails itself is a finding too."""
    environ = places.environ(os.environ)
    try:
        settings = config.load(places.config if places.config.exists() else None, environ)
    except ConfigError as error:
        yield problem("configuration", str(error), f"{environ.get('EDITOR', 'nano')} {places.config}")
        settings = Settings()
    for check in CHECKS:
        try:
            yield from check(Machine(places, settings, environ))
        except Exception as error:  # the other checks still help
            yield problem(check.__name__, f"this could not be checked: {error}")


def _line(finding: Finding) -> Text:
    line = Text(f"{finding.verdict:8}", style=_STYLES[finding.verdict])
    line.append(f" {finding.about}: {finding.message}", style="default")
    if finding.remedy:
        line.append(f"\n         {finding.remedy}", style="bold")
    return line
