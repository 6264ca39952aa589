"""Downloads one model in a process of its own, so that it can be cancelled, and that the manager imports no hub client.

`python -m workers.download` reads `{"source": …, "revision": …}` on stdin and prints JSON lines: twice a second `phase`
(listing, waiting, downloading, verifying), `done` and `total` in bytes, and the `file` at work; at the end the phase
`done`, or `failed` with an error envelope. It ends when it is terminated or when its manager closes stdin. What it has
received of unfinished files stays, and the next attempt continues it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from contract.errors import DownloadFailed, LoadFailed, ServeError
from contract.hub_cache import PARTIAL, is_resumable
from workers.toolkit import snapshots
from workers.toolkit.hub_downloads import DownloadProgress

INTERVAL = 0.5
"""Seconds between two reports."""


def main() -> None:
    """Download what stdin says."""
    logging.basicConfig(stream=sys.stderr)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # before the library is imported
    order = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, lambda *_: give_up())
    threading.Thread(target=_watch_stdin, daemon=True).start()
    progress, ended = DownloadProgress(), threading.Event()
    reporter = threading.Thread(target=_report_until, args=(ended, progress), daemon=True)
    reporter.start()
    last = _download(order["source"], order.get("revision"), progress)
    ended.set()
    reporter.join()
    _write(last)


def _download(source: str, revision: str | None, progress: DownloadProgress) -> dict[str, Any]:
    """The last report."""
    try:
        with snapshots.explained(source, revision):
            snapshots.wanted(source, revision, progress).fetch()
    except DownloadFailed as error:
        return _failed(error)
    except Exception as error:
        logging.getLogger("download").exception("the download failed")
        reason = error.message if isinstance(error, LoadFailed) else _reason(source, error, progress)
        return _failed(DownloadFailed(reason, details={"permanent": isinstance(error, LoadFailed)}))
    return {**progress.report(), "phase": "done"}


def _reason(source: str, error: Exception, progress: DownloadProgress) -> str:
    """Why it failed, and which files are not complete."""
    if isinstance(error, ImportError):
        return f"{error}. The hub's client is not installed: `make setup` installs it with the engines."
    missing = [file.path for file in progress.plan.missing()] if progress.plan else []
    names = f" Not complete: {', '.join(missing[:5])}." if missing else ""
    return f"{source} could not be downloaded: {error}{names} What is complete is kept; the next attempt goes on there."


def _failed(error: ServeError) -> dict[str, Any]:
    return {"phase": "failed", **error.envelope()}


def _report_until(ended: threading.Event, progress: DownloadProgress) -> None:
    while not ended.wait(INTERVAL):
        _write(progress.report())


def _write(report: dict[str, Any]) -> None:
    with suppress(OSError):  # the manager is gone, and stdin says so too
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()


def _watch_stdin() -> None:
    os.read(sys.stdin.fileno(), 1)
    give_up()


def give_up() -> None:
    """End at once. Partial files of the hub's client are removed: another process cannot continue them."""
    for opened in psutil.Process().open_files():
        if opened.path.endswith(PARTIAL) and not is_resumable(Path(opened.path)):
            with suppress(OSError):
                Path(opened.path).unlink()
    os._exit(1)


if __name__ == "__main__":
    main()
