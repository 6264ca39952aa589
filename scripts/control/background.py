"""Runs a house in the background, without services: two processes, their pids on file."""

from __future__ import annotations

from scripts.control.site import Site
from scripts.control.trouble import Trouble


def start(site: Site) -> bool:
    """Start what does not run and wait until the house is ready. False if all of it ran already.

    Raises Trouble, with the end of the log, when a program ends instead; the other one is then stopped as well.
    """
    missing = [program for program in (site.manager, site.gateway) if program.process is None]
    if len(missing) == 2:
        site.check_ports()
    for program in missing:
        program.start(site.environ)
    try:
        site.wait_until_ready(lambda: _still_there(site))
    except Trouble:
        stop(site)
        raise
    return bool(missing)


def stop(site: Site) -> bool:
    """End both programs, the gateway first so that nobody is cut off. False if none ran."""
    gateway = site.gateway.stop()
    return site.manager.stop() or gateway


def _still_there(site: Site) -> None:
    for program in (site.manager, site.gateway):
        if program.process is None:
            raise Trouble(f"the {program.name} ended at once. The end of {program.log}:\n\n{program.last_words()}")
