"""Stands between the manager and a foreign server: when the manager goes, so does the server.

Run as `python guard.py PROGRAM ARGUMENTS…` by the command launcher. It uses the standard library alone, leads a process
group of its own in which the server runs, and holds the read end of a pipe whose other end only the manager has. It
ends as the server does: with its exit code, or by the signal that ended it.
"""

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import threading

MARK = "ENGINEHOUSE_WORKER"


def main() -> int:
    """Run the server until it ends, and leave nothing of it. Returns its exit code; 127 if there is no such program."""
    # TERM goes to the whole group: the guard outlives it, to tell the exit code and to end what does not obey.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{sys.argv[1]} cannot be run: {error}\n")
        return 127
    threading.Thread(target=end_with_manager, daemon=True).start()
    code = server.wait()
    kill_marked()
    if select.select([0], [], [], 0)[0]:  # the manager has gone: nobody else ends what is left of the group
        os.killpg(0, signal.SIGKILL)
    if code < 0:
        end_by(-code)
    return code


def end_with_manager() -> None:
    """Wait for the end of stdin, then end everything that carries our mark, and the group."""
    while os.read(0, 4096):
        pass
    kill_marked()
    os.killpg(0, signal.SIGKILL)


def kill_marked() -> None:
    """Kill every process that carries our mark but this one; again, since some may have forked meanwhile."""
    killed = {os.getpid()}
    while found := [pid for pid in marked(os.environ.get(MARK, "")) if pid not in killed]:
        for pid in found:
            with contextlib.suppress(OSError):  # it has just ended
                os.kill(pid, signal.SIGKILL)
        killed.update(found)


def marked(uuid: str) -> list[int]:
    """Processes that carry the uuid, also those that left the group; none where there is no /proc."""
    found = []
    mark = f"{MARK}={uuid}".encode()
    for name in os.listdir("/proc") if uuid and os.path.isdir("/proc") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        found.append(int(name))
            except OSError:
                continue  # it has ended, or is somebody else's
    return found


def end_by(number: int) -> None:
    """End by the signal that ended the server, so that the manager sees the same; without a core of our own."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # some signals cannot be handled, and need not be
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main())
