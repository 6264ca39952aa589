"""Stands between the manager and a foreign server: when the manager goes, so does the server.

Run as `python guard.py PROGRAM ARGUMENTS…` by the command launcher. It uses the standard library alone, leads a process
group of its own in which the server runs, and holds the read end of a pipe whose other end only the manager has.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

MARK = "ENGINEHOUSE_WORKER"


def main() -> int:
    """Run the server until it ends. Returns its exit code (128 + signal, if one ended it)."""
    # TERM goes to the whole group: the guard outlives it, to tell the exit code and to end what does not obey.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{sys.argv[1]} cannot be run: {error}\n")
        return 127
    threading.Thread(target=end_with_manager, daemon=True).start()
    code = server.wait()
    return code if code >= 0 else 128 - code


def end_with_manager() -> None:
    """Wait for the end of stdin, then end everything that carries our mark, and the group."""
    while os.read(0, 4096):
        pass
    for pid in marked(os.environ.get(MARK, "")):
        if pid != os.getpid():
            with contextlib.suppress(OSError):  # it has just ended
                os.kill(pid, signal.SIGKILL)
    os.killpg(0, signal.SIGKILL)


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


if __name__ == "__main__":
    sys.exit(main())
