"""Starts a program as an unprivileged user: for Chromium, whose sandbox does not run as root.

`python unprivileged.py PROGRAM ARGUMENTS…`, as root. The folder in `--user-data-dir` becomes its home. It uses the
standard library only, so that it starts at once.
"""

from __future__ import annotations

import os
import sys

USER = 65534
"""The id that Linux reserves for a user that owns no files."""
_HOME = "--user-data-dir="


def main(command: list[str]) -> None:
    """Replace this process by the program."""
    home = next((word.removeprefix(_HOME) for word in command if word.startswith(_HOME)), "/nonexistent")
    for folder, _, files in os.walk(home):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(path, USER, USER, follow_symlinks=False)
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    os.chdir("/")
    folders = {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home}
    os.execve(command[0], command, {**os.environ, **folders})  # noqa: S606 - a shell would only be one more process


if __name__ == "__main__":
    main(sys.argv[1:])
