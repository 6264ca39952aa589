"""Runs an external server and ends it when the manager is gone.

The command launcher runs it as `python guard.py PROGRAM ARGUMENTS…`. It imports the standard library only, leads the
process group in which the server runs, and holds the read end of a pipe whose write end only the manager has. It exits
as the server does: with the same exit code, or by the same signal.

On Linux it is the subreaper of everything that the server starts: a process whose parent has ended becomes the guard's
child, so the guard finds it even if it has a session of its own and no longer carries our mark.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import threading

MARK = "ENGINEHOUSE_WORKER"
CGROUP = "ENGINEHOUSE_CGROUP"
PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the server to its end, then end its descendants. Returns its exit code; 127 if there is no such program."""
    # TERM goes to the whole group. The guard outlives it, to report the exit code and to kill what ignores TERM.
    signal.signal(signal.SIGTERM, lambda *_: None)
    become_subreaper()
    enter_cgroup()
    try:
        server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{sys.argv[1]} cannot be run: {error}\n")
        return 127
    threading.Thread(target=end_with_manager, daemon=True).start()
    code = wait_for(server.pid)
    server.returncode = code  # the exit code is collected already
    kill_all()
    if select.select([0], [], [], 0)[0]:  # stdin has closed: the manager is gone and will not end the group
        os.killpg(0, signal.SIGKILL)
    if code < 0:
        end_by_signal(-code)
    return code


def end_with_manager() -> None:
    """Wait until stdin closes, then kill everything that carries our mark, and the group."""
    while os.read(0, 4096):
        pass
    kill_all()
    os.killpg(0, signal.SIGKILL)


def become_subreaper() -> None:
    """Adopt descendants whose parent ends, where the system can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def enter_cgroup() -> None:
    """Enter the cgroup that the manager has created, if it has, so that everything that the server starts is in it."""
    if folder := os.environ.pop(CGROUP, None):
        with contextlib.suppress(OSError), open(f"{folder}/cgroup.procs", "w", encoding="utf-8") as processes:
            processes.write("0")


def wait_for(pid: int) -> int:
    """Return the exit code of a child, and meanwhile collect those of adopted processes, which nothing else would."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def kill_all() -> None:
    """Kill every descendant and all that carries our mark; repeatedly, since some may fork meanwhile."""
    killed = {os.getpid()}
    while remaining := [pid for pid in (*descendants(), *marked(os.environ.get(MARK, ""))) if pid not in killed]:
        for pid in remaining:
            with contextlib.suppress(OSError):  # it has just ended
                os.kill(pid, signal.SIGKILL)
        killed.update(remaining)


def descendants() -> list[int]:
    """Pids of the processes below this one; none on systems without /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]  # the name may contain brackets
                if state != b"Z":
                    children.setdefault(int(parent), []).append(int(name))
    pids: list[int] = []
    below = [os.getpid()]
    while below:
        below = [child for pid in below for child in children.get(pid, ())]
        pids += below
    return pids


def marked(uuid: str) -> list[int]:
    """Pids of the processes that carry the uuid, even outside the group; none on systems without /proc."""
    pids = []
    mark = f"{MARK}={uuid}".encode()
    for name in os.listdir("/proc") if uuid and os.path.isdir("/proc") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        pids.append(int(name))
            except OSError:
                continue  # it has ended, or belongs to another user
    return pids


def end_by_signal(number: int) -> None:
    """End by the signal that ended the server, so that the manager sees the same; without a core dump of the guard."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # some signals have no handler that could be reset
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main())
