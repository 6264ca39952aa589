"""Runs manager and gateway as background processes, without services."""

from __future__ import annotations

from scripts.control.errors import ControlError
from scripts.control.installation import Installation
from scripts.control.service_manager import stop_timeout


def start(installation: Installation) -> bool:
    """Start what is not running and wait until requests are served. False if everything was running already.

    Raises ControlError with the end of the log if a program exits. Both programs are then stopped.
    """
    missing = [daemon for daemon in installation.daemons if daemon.process is None]
    if len(missing) == 2:
        installation.check_ports()
    for daemon in missing:
        daemon.start(installation.environ)
    try:
        installation.wait_until_ready(lambda: _check_running(installation))
    except ControlError:
        stop(installation)
        raise
    return bool(missing)


def stop(installation: Installation) -> bool:
    """End both programs. False if none was running.

    Both are asked at once: the manager refuses what waits, and both let running requests finish.
    """
    timeout = stop_timeout(installation.environ)
    stopping = [(daemon, process) for daemon in installation.daemons if (process := daemon.request_stop())]
    for daemon, process in stopping:
        daemon.wait_until_stopped(process, timeout)
    return bool(stopping)


def _check_running(installation: Installation) -> None:
    for daemon in installation.daemons:
        if daemon.process is None:
            raise ControlError(f"The {daemon.name} exited at once. The end of {daemon.log}:\n\n{daemon.log_tail()}")
