"""Downloads of models from the hub: one for each source and cache, however many requests wait for it.

Each runs as `python -m workers.download`, since the manager imports no client of the hub. It ends with the manager, or
once it has been silent for `manager.download_silence` seconds, however long it takes otherwise.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

from contract.config import ManagerSettings, ModelSpec
from contract.errors import DiskFull, DownloadFailed, HubStalled, LoadFailed, ServeError, from_envelope
from contract.status import DownloadState, DownloadStatus
from manager import process_tree
from manager.background import BackgroundTasks
from manager.events import EventLog
from manager.metrics import DOWNLOAD_BYTES, DOWNLOADS, DOWNLOADS_RUNNING
from manager.models.model_download import DownloadKey, ModelDownload
from manager.models.weights import hub_cache

REPORT_INTERVAL = 5.0
"""Seconds between two events about the progress of one download."""

KEPT = 100
"""Downloads that have ended, and whose result can still be asked for."""

_FIRST_DELAY, _LONGEST_DELAY = 10.0, 300.0
_TERMINATION = 5.0


class ModelDownloads:
    """All downloads of one manager. `on_done` gets each that has succeeded. `environ` is that of the workers."""

    def __init__(
        self,
        environ: Mapping[str, str],
        settings: Callable[[], ManagerSettings],
        events: EventLog,
        on_done: Callable[[ModelDownload], None],
    ) -> None:
        self._environ = {**os.environ, **environ}
        self._settings = settings
        self._events = events
        self._on_done = on_done
        self._tasks = BackgroundTasks("downloads")
        self._downloads: dict[str, ModelDownload] = {}
        self._failures: dict[DownloadKey, tuple[int, float]] = {}  # how many in a row, when to try again

    @property
    def all(self) -> list[ModelDownload]:
        return list(self._downloads.values())

    def get(self, id_: str) -> ModelDownload | None:
        """A download by its id."""
        return self._downloads.get(id_)

    def key(self, spec: ModelSpec) -> DownloadKey:
        """The key of an entry's download."""
        return DownloadKey(spec.source, spec.revision, hub_cache({**self._environ, **spec.env}))

    def of(self, spec: ModelSpec) -> ModelDownload | None:
        """The latest download of an entry's source."""
        key = self.key(spec)
        return next((download for download in reversed(self.all) if download.key == key), None)

    @property
    def running(self) -> list[ModelDownload]:
        return [download for download in self._downloads.values() if download.running]

    def running_of(self, spec: ModelSpec) -> ModelDownload | None:
        """The download of an entry's source, while it runs."""
        running = self.running
        latest = self.of(spec) if running and spec.source else None
        return latest if latest in running else None

    def start(self, spec: ModelSpec) -> ModelDownload:
        """Download an entry's source. One that runs already is shared."""
        latest = self.of(spec)
        if latest and latest.running:
            return latest
        download = ModelDownload(self.key(spec), spec.id)
        self._downloads[download.id] = download
        for ended in [id_ for id_, known in self._downloads.items() if not known.running][:-KEPT]:
            del self._downloads[ended]
        self._tasks.spawn(self._run(download, spec))
        return download

    async def start_again(self, spec: ModelSpec) -> ModelDownload:
        """`start` for a request. Raises the last error if it is too early for another attempt.

        After a full disk it is time as soon as there is room.
        """
        latest = self.of(spec)
        failures, retry_at = self._failures.get(self.key(spec), (0, 0.0))
        wait = retry_at - time.monotonic()
        if failures and wait > 0 and latest and latest.error and not await asyncio.to_thread(_has_room_again, latest):
            raise _with_retry(latest.error, wait)
        return self.start(spec)

    async def cancel(self, download: ModelDownload) -> None:
        """End a download. Files that are complete stay."""
        if download.running:
            download.end(
                DownloadState.CANCELLED, DownloadFailed(f"The download of {download.key.source} was cancelled.")
            )
            DOWNLOADS.labels("cancelled").inc()
            self._events.add("download cancelled", model=download.model, reason=download.key.source)
            await _terminate(download.process)

    async def updates(self, download: ModelDownload, pulse: float) -> AsyncIterator[DownloadStatus]:
        """The status now, after each change, and every `pulse` seconds; last, that of its end."""
        while download.running:
            yield download.status()
            await download.next(pulse)
        yield download.status()

    async def close(self) -> None:
        """End all downloads."""
        for download in self.all:
            if download.running:
                await self.cancel(download)
        await self._tasks.wait()  # each ends with its process

    async def _run(self, download: ModelDownload, spec: ModelSpec) -> None:
        DOWNLOADS_RUNNING.inc()
        try:
            process = await self._launch(download, spec)
            if download.running:  # otherwise it was cancelled meanwhile
                await self._follow(download, process)
        except ServeError as error:
            self._fail(download, error)
        except OSError as error:
            self._fail(download, DownloadFailed(f"The download of {spec.source} could not be started: {error}"))
        finally:
            await _terminate(download.process)
            if download.process:
                await _close_pipes(download.process)
            if download.running:
                download.end(DownloadState.FAILED, DownloadFailed("The download was stopped."))
            DOWNLOADS_RUNNING.dec()
            with suppress(KeyError):  # it has reported nothing
                DOWNLOAD_BYTES.remove(download.model)

    async def _launch(self, download: ModelDownload, spec: ModelSpec) -> asyncio.subprocess.Process:
        download.process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "workers.download",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={**self._environ, **spec.env, process_tree.MARK: "download"},  # it is no orphan of a worker
        )  # fmt: skip
        assert process.stdin is not None
        order = {"source": spec.source, "revision": spec.revision}
        process.stdin.write(json.dumps(order).encode() + b"\n")  # and stays open: its end ends the process
        self._events.add("download", model=download.model, reason=f"{spec.source} begins")
        return process

    async def _follow(self, download: ModelDownload, process: asyncio.subprocess.Process) -> None:
        """Read reports until the last one. Raises the ServeError that the download has failed with."""
        assert process.stdout is not None
        progress = reported = time.monotonic()
        while True:
            silence = self._settings().download_silence
            try:
                async with asyncio.timeout(max(0.0, progress + silence - time.monotonic())):
                    line = await process.stdout.readline()
            except TimeoutError:
                raise self._stalled(download, silence) from None
            if not line:
                raise DownloadFailed(f"The download of {download.key.source} ended with code {await process.wait()}.")
            report = json.loads(line)
            if report["phase"] == "failed":
                raise from_envelope(report)
            if report["phase"] == "done":
                return self._complete(download, report["total"])
            now = time.monotonic()
            DOWNLOAD_BYTES.labels(download.model).set(report["done"])
            if download.update(report, now):
                progress = now
                if now - reported >= REPORT_INTERVAL:
                    reported = now
                    self._report(download)
            elif now - progress > silence:
                raise self._stalled(download, silence)

    def _stalled(self, download: ModelDownload, silence: float) -> HubStalled:
        hub = self._environ.get("HF_ENDPOINT") or "huggingface.co"
        message = (
            f"The hub ({hub}) has sent nothing of {download.key.source} for {silence:g} s, so the download was ended. "
            "Check the network and HF_ENDPOINT, or raise manager.download_silence."
        )
        return HubStalled(message, details={"hub": hub, "bytes": download.done, "total": download.total})

    def _report(self, download: ModelDownload) -> None:
        reason = f"{download.phase} {download.key.source}"
        self._events.add("download", model=download.model, reason=reason, bytes=download.done, total=download.total)

    def _complete(self, download: ModelDownload, total: int) -> None:
        download.done = download.total = total
        self._failures.pop(download.key, None)
        DOWNLOADS.labels("done").inc()
        download.end(DownloadState.DONE)
        self._events.add("downloaded", model=download.model, reason=download.key.source)
        self._on_done(download)

    def _fail(self, download: ModelDownload, error: ServeError) -> None:
        if not download.running:  # it was cancelled
            return
        failures, _ = self._failures.get(download.key, (0, 0.0))
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0**failures)
        self._failures[download.key] = (failures + 1, time.monotonic() + delay)
        DOWNLOADS.labels("failed").inc()
        lasting = isinstance(error, LoadFailed) and error.is_permanent
        download.end(DownloadState.FAILED, error if lasting else _with_retry(error, delay))
        self._events.add("download failed", model=download.model, reason=error.message)


def _has_room_again(download: ModelDownload) -> bool:
    """Whether a download has failed for lack of room, and there is room now."""
    details = download.error.details if isinstance(download.error, DiskFull) else {}
    needed = details.get("needed_bytes", 0)
    try:
        return bool(details.get("free_bytes", needed) < needed <= shutil.disk_usage(download.key.cache).free)
    except OSError:  # the folder is gone
        return False


def _with_retry(error: ServeError, seconds: float) -> ServeError:
    """The same error, with the seconds until the next attempt."""
    return type(error)(
        error.message,
        param=error.param,
        details={**error.details, "retry_after": round(seconds, 1)},
        retry_after=seconds,
    )


async def _terminate(process: asyncio.subprocess.Process | None) -> None:
    """Terminate a process, so that it removes its partial files; kill it if it does not end."""
    if process is None or process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_TERMINATION):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _close_pipes(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    with suppress(OSError):
        await process.stdin.wait_closed()
    while await process.stdout.read(65536):
        pass
