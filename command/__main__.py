"""`enginehouse` and `python -m command`: the entry point, which says what to install if a library is missing."""

from __future__ import annotations

import sys

_LIBRARIES = {"typer", "rich", "platformdirs", "httpx2", "numpy", "PIL", "fastapi", "limits", "jwt"}


def main() -> int:
    """Returns the exit code; docs/command.md lists them."""
    try:
        from command.app import run
    except ModuleNotFoundError as error:
        if error.name not in _LIBRARIES:
            raise
        sys.stderr.write(f"The command needs {error.name}. In a clone's folder, run: pip install '.[command]'\n")
        return 1
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
