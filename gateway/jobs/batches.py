"""Runs batches: checks their files, makes jobs of their lines, a few at a time, and writes what these were answered."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from contract.errors import NotFound, ServeError
from gateway.jobs import metrics
from gateway.jobs.batch import BatchState, Outcome, StoredBatch, check_file, read_line, written
from gateway.jobs.batch_store import BatchStore, Line
from gateway.jobs.files import FileStore, StoredFile, lines
from gateway.jobs.job import JobState, StoredRequest, Submission
from gateway.jobs.payloads import LARGE, request_file
from gateway.jobs.store import JobStore

log = logging.getLogger(__name__)

WINDOW = 64
"""Jobs of a batch that wait or run at a time, so that others do not wait for the whole batch."""
_FEED = 32
_KEEP = 30 * 86400.0
"""Seconds that a batch is listed after its end."""
_INTERVAL = 10.0
_JSON = [("content-type", "application/json")]


class ModelChooser(Protocol):
    """A path whose requests can be lines of a batch."""

    async def model_for(self, content_type: str, body: bytes) -> str:
        """The id of the model that a request would go to. Raises ServeError if it could not run."""


@dataclass(frozen=True, slots=True)
class JobControl:
    """What batches need of the engine: `admits`: may the jobs of an owner still run? `stop` ends the work on a job.

    `wake` has new jobs begun.
    """

    admits: Callable[[str], bool]
    stop: Callable[[str], None]
    wake: Callable[[], None]


class Batches:
    """Moves batches on."""

    def __init__(
        self,
        store: JobStore,
        files: FileStore,
        endpoints: Mapping[str, ModelChooser],
        limits: tuple[int, int],
        jobs: JobControl,
    ) -> None:
        """`limits` are the bytes of a line, and the lines of a batch."""
        self.rows = BatchStore(store)
        self._store = store
        self._files = files
        self._endpoints = endpoints
        self._longest, self._max_lines = limits
        self._jobs = jobs
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at the batches now: a job of one has ended, or one is new or cancelled."""
        self._wake.set()

    async def run(self) -> None:
        """Move batches on until it is cancelled."""
        while True:
            self._wake.clear()
            try:
                for batch in await self.rows.unended():
                    await self._step(batch)
                await self._files.expire()
                await self.rows.prune(_KEEP)
            except Exception:
                log.exception("a batch cannot go on")
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0 if self._store.shared else _INTERVAL):
                    await self._wake.wait()

    async def _step(self, batch: StoredBatch) -> None:
        """Do what a batch needs next. Each step can be repeated after a crash."""
        if batch.state == BatchState.FINALIZING:
            await self._finish(batch)
        elif batch.state == BatchState.CANCELLING:
            await self._end_early(batch, JobState.CANCELLED)
        elif not self._jobs.admits(batch.owner):
            log.warning("%s is cancelled: the key that submitted it has been revoked", batch.id)
            await self.rows.cancel(None, batch.id)
            self.wake()
        elif batch.state == BatchState.VALIDATING:
            await self._validate(batch)  # before it may expire, so that all of its lines are known
        elif self._store.now() >= batch.expires:
            await self._end_early(batch, JobState.EXPIRED)
        else:
            await self._feed(batch)

    async def _validate(self, batch: StoredBatch) -> None:
        try:
            file = self._files.open(await self._files.get(None, batch.input_file))
        except NotFound as error:
            errors = [{"code": "file_not_found", "message": error.message, "param": "input_file_id", "line": None}]
            total = 0
        else:
            with file:
                total, errors = await asyncio.to_thread(
                    check_file, file, batch.endpoint, self._longest, self._max_lines
                )
        if errors:
            await self.rows.set_state(batch, BatchState.FAILED, ended="now", errors=json.dumps(errors))
        else:
            await self.rows.set_state(batch, BatchState.IN_PROGRESS, in_progress="now", total=total)
        self.wake()

    async def _feed(self, batch: StoredBatch) -> None:
        unfinished = await self.rows.unfinished(batch)
        if batch.lines_read < batch.total and unfinished <= WINDOW - _FEED:
            await self._read_more(batch)
            self.wake()  # there may be room for more
            self._jobs.wake()
        elif batch.lines_read == batch.total and not unfinished:
            await self.rows.set_state(batch, BatchState.FINALIZING, finalizing="now")
            self.wake()

    async def _read_more(self, batch: StoredBatch) -> None:
        texts, position = await asyncio.to_thread(self._next_lines, batch)
        ready: list[Line] = []
        for number, text in enumerate(texts, start=batch.lines_read + 1):
            line = read_line(text, batch.endpoint, self._longest)  # it was checked before
            ready.append(await self._submission(batch, number, line.custom_id, line.body))
        await self.rows.feed(batch, ready, batch.lines_read + len(ready), position)

    def _next_lines(self, batch: StoredBatch) -> tuple[list[bytes], int]:
        """Lines that are not empty, from where the batch has been read to, and where they end."""
        texts: list[bytes] = []
        size = 0
        with self._store.payloads.open(batch.input_file) as file:
            file.seek(batch.bytes_read)
            position = batch.bytes_read
            for text in lines(file, self._longest):
                position += len(text)
                if text.strip():
                    texts.append(text)
                    size += len(text)
                if len(texts) == _FEED or size > self._longest:
                    break
        return texts, position

    async def _submission(self, batch: StoredBatch, number: int, custom_id: str, body: bytes) -> Line:
        model, error = "", None
        try:
            model = await self._endpoints[batch.endpoint].model_for("application/json", body)
        except ServeError as refusal:
            error = refusal
        except KeyError:  # it was submitted to another version
            error = NotFound(f"This version has no path {batch.endpoint}.")
        submission = Submission(
            owner=batch.owner,
            type=batch.endpoint.strip("/"),
            model=model,
            request=StoredRequest(batch.endpoint, "", _JSON, body),
            batch=batch.id,
            custom_id=custom_id,
            line=number,
        )
        if error is None and len(body) > LARGE:
            await asyncio.to_thread(self._store.payloads.write, request_file(submission.id), body)
        return submission, error

    async def _end_early(self, batch: StoredBatch, state: JobState) -> None:
        for id_ in await self.rows.stop(batch, state):
            metrics.ended(state)
            self._jobs.stop(id_)
        await self.rows.set_state(batch, BatchState.FINALIZING, finalizing="now")
        self.wake()

    async def _finish(self, batch: StoredBatch) -> None:
        """Write both files, and end the batch. After a crash, they are written again, under other names."""
        outputs = [
            StoredFile(batch.owner, f"{batch.id}_{name}.jsonl", "batch_output", 0, 0.0) for name in ("output", "error")
        ]
        with ExitStack() as stack:
            targets = [stack.enter_context(self._store.payloads.writing(file.id)) for file in outputs]
            sizes = await self._write_outcomes(batch, targets)
        stored = [
            StoredFile(file.owner, file.filename, file.purpose, size, 0.0, id=file.id) if size else None
            for file, size in zip(outputs, sizes, strict=True)
        ]
        self._store.payloads.remove(file.id for file, size in zip(outputs, sizes, strict=True) if not size)
        await self.rows.finish(batch, _last_state(batch), stored)
        log.info("%s has ended", batch.id)

    async def _write_outcomes(self, batch: StoredBatch, targets: list[BinaryIO]) -> list[int]:
        """Write what ended well into the first target, and all else into the second; how many bytes each got."""
        sizes, after = [0, 0], 0
        while page := await self.rows.outcomes(batch, after):
            after = page[-1][0]
            await asyncio.to_thread(_write, [outcome for _, outcome in page], targets, sizes)
        if batch.lines_read < batch.total:
            await asyncio.to_thread(self._write_unread, batch, targets, sizes)
        return sizes

    def _write_unread(self, batch: StoredBatch, targets: list[BinaryIO], sizes: list[int]) -> None:
        reason = "cancelled" if batch.cancelling else "expired"
        with self._store.payloads.open(batch.input_file) as file:
            file.seek(batch.bytes_read)
            for number, text in enumerate((text for text in lines(file, self._longest) if text.strip()), start=1):
                line = read_line(text, batch.endpoint, self._longest)
                outcome = Outcome(f"{batch.id}_{batch.lines_read + number}", line.custom_id, reason=reason)
                _write([outcome], targets, sizes)


def _write(outcomes: Iterable[Outcome], targets: list[BinaryIO], sizes: list[int]) -> None:
    for outcome in outcomes:
        which = int(outcome.error is not None or outcome.reason is not None)
        for piece in written(outcome):
            sizes[which] += targets[which].write(piece)


def _last_state(batch: StoredBatch) -> BatchState:
    if batch.cancelling:
        return BatchState.CANCELLED
    has_expired = batch.finalizing is not None and batch.finalizing >= batch.expires
    return BatchState.EXPIRED if has_expired else BatchState.COMPLETED
