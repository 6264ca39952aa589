"""What all commands share: the server, the form of the output, and what happens to errors."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, cast

import typer
from rich.console import Console

from client import AsyncClient, Client, ServerError
from command import exit_codes

Options = ParamSpec("Options")
_WIDE = 240
GLOBAL_OPTIONS = {"--url": True, "--key": True, "--json": False}
"""Options of every command, and whether a value follows."""


class CommandError(Exception):
    """A command cannot go on. The message is for the user at the terminal and says what to do."""


@dataclass(frozen=True, slots=True)
class Session:
    """One call of the command."""

    url: str | None = None
    key: str | None = None
    as_json: bool = False

    @classmethod
    def of(cls, context: typer.Context) -> Session:
        """The session of a running command."""
        session = context.find_root().obj
        assert isinstance(session, cls)
        return session

    def client(self) -> Client:
        """A client of the server. Raises CommandError for an unusable address."""
        try:
            return Client(self.url, self.key)
        except ValueError as error:
            raise CommandError(str(error)) from None

    def async_client(self) -> AsyncClient:
        """An asynchronous client of the server. Raises CommandError for an unusable address."""
        try:
            return AsyncClient(self.url, self.key)
        except ValueError as error:
            raise CommandError(str(error)) from None

    def show(self, document: Any, *renderables: Any) -> None:
        """Print the document as JSON if `--json` was given, and else what is for people."""
        if self.as_json:
            print(json.dumps(document, ensure_ascii=False, default=str), flush=True)
        else:
            for renderable in renderables:
                console().print(renderable, soft_wrap=isinstance(renderable, str))

    def fail(self, message: str, code: int, details: dict[str, Any] | None = None) -> typer.Exit:
        """Report an error on stderr. Returns what to raise."""
        if self.as_json:
            sys.stderr.write(json.dumps({"error": {"message": message, **(details or {})}}, ensure_ascii=False) + "\n")
        else:
            Console(stderr=True, highlight=False, soft_wrap=True).print(message, markup=False, style="red")
        return typer.Exit(code)


def console() -> Console:
    """The terminal. Output that goes elsewhere is not cut at the width of one."""
    found = Console(highlight=False)
    if not (found.is_terminal or "COLUMNS" in os.environ):
        found.width = _WIDE
    return found


def guarded(command: Callable[Options, None]) -> Callable[Options, None]:
    """A command whose errors become a message and an exit code."""

    def run(*args: Options.args, **kwargs: Options.kwargs) -> None:
        session = Session.of(cast("typer.Context", kwargs["context"] if "context" in kwargs else args[0]))
        try:
            command(*args, **kwargs)
        except ServerError as error:
            details = {"code": error.code, "status": error.status, "details": error.details}
            raise session.fail(_advice(error), exit_codes.exit_code(error), details) from None
        except CommandError as error:
            raise session.fail(str(error), exit_codes.FAILED) from None
        except OSError as error:
            raise session.fail(f"{error.filename or 'error'}: {error.strerror or error}", exit_codes.FAILED) from None
        except KeyboardInterrupt:
            raise typer.Exit(exit_codes.INTERRUPTED) from None

    functools.update_wrapper(run, command)
    return run


def _advice(error: ServerError) -> str:
    if error.status == 0:
        return f"{error}. Is it running? `enginehouse serve` runs it here, and --url names another machine."
    if error.status == 401:
        return f"{error} The option --key or the variable ENGINEHOUSE_KEY has the key for this command."
    return str(error)


def hoisted(arguments: list[str]) -> list[str]:
    """The arguments with the options of every command in front, so that they may be given anywhere before `--`."""
    front: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument in GLOBAL_OPTIONS:
            front += [argument, *([next(remaining, "")] if GLOBAL_OPTIONS[argument] else [])]
        elif argument.startswith(("--url=", "--key=")):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest
