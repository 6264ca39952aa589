"""`python -m scripts.packages install|needs|lock`: install engines, ask whether some are there, renew the lock."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from scripts.packages import choice, installer


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.packages", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="install the engines that the words stand for; without words, all")
    install.add_argument("--tests", action="store_true", help="and what the tests need")
    install.add_argument("--latest", action="store_true", help="the newest versions, not those of the lock")
    install.add_argument("words", nargs="*")
    needs = commands.add_parser("needs", help="fail unless these engines were chosen")
    needs.add_argument("words", nargs="+")
    lock = commands.add_parser("lock", help="renew the lock")
    lock.add_argument("--keep", action="store_true", help="change only what pyproject.toml no longer allows")
    given = parser.parse_args(arguments)
    try:
        if given.command == "install":
            installer.install(given.words, tests=given.tests, latest=given.latest)
        elif given.command == "lock":
            from scripts.packages.lock import renew  # needs a library

            renew(keep=given.keep)
        elif lacking := choice.missing(installer.ENVIRONMENT, given.words):
            print(f'This needs engines that are not installed: `make setup ENGINES="{" ".join(sorted(lacking))}"`.')
            return 1
    except (choice.UnknownWord, installer.PipFailed) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
