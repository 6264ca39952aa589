"""`python -m scripts.packages install|needs|lock`: installs engines, checks for installed ones, renews the lock."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from scripts.packages import choice, installer


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 1 if `needs` misses an engine, 2 for a wrong word or a failure of pip or uv."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "install":
            installer.install(options.words, tests=options.tests, latest=options.latest)
        elif options.command == "lock":
            from scripts.packages.lock_writer import renew  # needs the library `packaging`

            renew(keep=options.keep)
        elif missing := choice.missing_extras(installer.ENVIRONMENT, options.words):
            words = " ".join(sorted(missing))
            print(f'This needs engines that are not installed. Run `make setup ENGINES="{words}"` first.')
            return 1
    except (choice.UnknownWord, installer.PipFailed) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.packages", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="install these extras and engines; without words, all engines")
    install.add_argument("--tests", action="store_true", help="also install what the tests need")
    install.add_argument("--latest", action="store_true", help="install the newest versions, not those of the lock")
    install.add_argument("words", nargs="*")
    needs = commands.add_parser("needs", help="fail unless these extras and engines are installed")
    needs.add_argument("words", nargs="+")
    lock = commands.add_parser("lock", help="renew the lock")
    lock.add_argument("--keep", action="store_true", help="change only what pyproject.toml no longer allows")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
