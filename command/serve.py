"""`enginehouse serve`: manager and gateway in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from command import first_run
from command.places import Places
from command.session import CommandError, Session
from contract.config import OPEN_WARNING
from contract.starter import VARIABLE
from contract.startup_errors import explain
from scripts.control.errors import ControlError
from scripts.control.installation import Installation
from scripts.control.service_manager import stop_timeout

_NEVER_REPLACED = "No worker is replaced after some requests; an idle one ends after the `idle_timeout` in {file}."
NOT_OPTIONS = {
    "workers": "The gateway is one process. `replicas` in a model's entry in {file} runs that model several times.",
    "reload": "Nothing watches the code. A change of {file} takes effect when you save it.",
    "max-requests": _NEVER_REPLACED,
    "max-requests-jitter": _NEVER_REPLACED,
}
"""Options of other servers that have another place here."""


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="The address to listen on; 0.0.0.0 lets other machines in")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port; 0 takes a free one")] = None,
    api_key: Annotated[str | None, typer.Option(help="Require this key")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The configuration file")] = None,
    home: Annotated[Path | None, typer.Option(help="The folder for state and logs")] = None,
    workers: Annotated[int | None, typer.Option(hidden=True)] = None,
    reload: Annotated[bool, typer.Option("--reload", hidden=True)] = False,
    max_requests: Annotated[int | None, typer.Option(hidden=True)] = None,
    max_requests_jitter: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run Enginehouse in the foreground: the gateway and the manager, until Ctrl-C."""
    session = Session.of(context)
    found = Places.find()
    places = Places(config.absolute() if config else found.config, home.absolute() if home else found.home)
    given = {
        "workers": workers not in {None, 1}, "reload": reload, "max-requests": max_requests is not None,
        "max-requests-jitter": max_requests_jitter is not None,
    }  # fmt: skip
    if wrong := next((name for name, is_given in given.items() if is_given), None):
        raise CommandError(f"--{wrong}: {NOT_OPTIONS[wrong].format(file=places.config)}")
    if config and not config.exists():
        raise CommandError(f"There is no file {config}")
    options = {"GATEWAY_HOST": host, "GATEWAY_PORT": port, "GATEWAY_API_KEY": api_key, "LOG_LEVEL": _level(log_level)}
    is_first = not places.config.exists()
    if is_first:
        first_run.write_config(places.config)
    environ = places.environ() | {name: str(value) for name, value in options.items() if value is not None}
    if is_first and not session.as_json:
        print("\n".join(first_run.message(places)), flush=True)
    raise typer.Exit(ForegroundServer(environ, session).run())


def _level(name: str | None) -> str | None:
    if name is None or name.lower() in {"debug", "info", "warning", "error"}:
        return name and name.lower()
    raise CommandError(f"--log-level: {name} is none of debug, info, warning, error")


class ForegroundServer:
    """Both programs as children of this one, with their output on this terminal."""

    def __init__(self, environ: dict[str, str], session: Session) -> None:
        self._environ = environ
        self._session = session
        self._installation = Installation(environ)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._is_stopping = False

    def run(self) -> int:
        """Serve until a signal arrives or a program ends. Returns the exit code. Raises CommandError if it cannot."""
        try:
            self._installation.check_ports()
            self._installation.home.mkdir(parents=True, exist_ok=True)
        except ControlError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(explain(error)) from None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            for name in ("manager", "gateway"):
                self._start(name)
            if self._is_ready():
                self._announce()
            return self._wait()
        finally:
            self._end()

    def _start(self, name: str) -> None:
        address = self._installation.home / name / "address"
        address.unlink(missing_ok=True)  # an earlier run's
        # In a session of its own, so that the terminal's Ctrl-C reaches us alone, and we stop both in good order.
        # Its stdin ends with us, however we end, and it stops then.
        command, environ = [sys.executable, "-m", name], self._environ | {VARIABLE: "1"}
        self._children[name] = subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=sys.stderr, start_new_session=True
        )
        while not address.exists() and self._all_run():
            time.sleep(0.05)

    def _all_run(self) -> bool:
        return not self._is_stopping and all(child.poll() is None for child in self._children.values())

    def _is_ready(self) -> bool:
        while self._all_run():
            if self._installation.is_ready():
                return True
            time.sleep(0.05)
        return False

    def _announce(self) -> None:
        installation = self._installation
        home, file = str(installation.home), self._environ["ENGINEHOUSE_CONFIG"]
        said = f"Enginehouse is ready at {installation.url}/v1. Ctrl-C stops it."
        self._session.show({"url": installation.url, "config": file, "home": home}, said)
        sys.stdout.flush()
        if installation.settings.is_open:
            sys.stderr.write(f"{OPEN_WARNING.partition(' To require')[0]} `enginehouse keys new NAME` makes one.\n")

    def _wait(self) -> int:
        while self._all_run():
            time.sleep(0.1)
        if self._is_stopping:
            return 0
        ended = [name for name, child in self._children.items() if child.poll() is not None]
        sys.stderr.write(f"The {ended[0]} has ended with exit code {self._children[ended[0]].returncode}.\n")
        return 1

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._is_stopping = True

    def _end(self) -> None:
        """Ask both programs at once, let running requests finish, and kill what does not end."""
        for child in self._children.values():
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + stop_timeout(self._environ)
        for child in self._children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
