"""Stores batches, and changes their states: every change is one transaction that names the state that it leaves."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from contract.errors import BadRequest, NotFound, ServeError, from_envelope
from gateway.jobs import files, queries
from gateway.jobs.batch import BATCH_NAMES, BatchState, Outcome, StoredBatch
from gateway.jobs.files import Page, StoredFile
from gateway.jobs.job import JobState, Submission
from gateway.jobs.payloads import request_file
from gateway.jobs.store import JobStore
from gateway.storage.database import SqlConnection

_COLUMNS = ", ".join(BATCH_NAMES)
_PAGE = 200
_OF_LINE = "id, custom_id, line, state, result_status, result_type, result, result_file, error"

Line = tuple[Submission, ServeError | None]
"""A line as a job, and why it cannot run."""


class BatchStore:
    """The batches in a store of jobs."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def add(self, batch: StoredBatch) -> StoredBatch:
        """Store a batch. Raises NotFound for its file, and BadRequest for one with another purpose."""

        def work(connection: SqlConnection, now: float) -> StoredBatch:
            file = files.get(connection, batch.owner, batch.input_file)
            if file.purpose != "batch":
                raise BadRequest(f"The file {file.id} has the purpose {file.purpose!r}. Upload it with `batch`.")
            stored = dataclasses.replace(batch, created=now, expires=now + batch.expires)
            marks = ", ".join("?" * len(BATCH_NAMES))
            connection.execute(f"INSERT INTO batches ({_COLUMNS}) VALUES ({marks})", dataclasses.astuple(stored))
            return stored

        return await self._store.run(work)

    async def get(self, owner: str | None, id_: str) -> StoredBatch:
        """The owner's batch, with its counts as they are now. Raises NotFound."""
        return await self._store.run(lambda connection, _: _get(connection, owner, id_))

    async def page(self, wanted: Page) -> list[StoredBatch]:
        """Batches, newest first. Raises NotFound if `after` is no batch of the owner's."""
        return await self._store.run(lambda connection, _: _page(connection, wanted))

    async def unended(self) -> list[StoredBatch]:
        """The batches that have not ended, oldest first."""
        query = f"SELECT {_COLUMNS} FROM batches WHERE ended IS NULL ORDER BY seq"
        rows = await self._store.run(lambda connection, _: connection.execute(query).fetchall())
        return [_batch(row) for row in rows]

    async def set_state(self, batch: StoredBatch, state: BatchState, **values: Any) -> None:
        """Change a batch that is still in the state that it had; `values` are columns, and "now" means the present."""

        def work(connection: SqlConnection, now: float) -> None:
            changed = {"state": state, **{name: now if value == "now" else value for name, value in values.items()}}
            assignments = ", ".join(f"{name} = ?" for name in changed)
            query = f"UPDATE batches SET {assignments} WHERE id = ? AND state = ?"
            connection.execute(query, (*changed.values(), batch.id, batch.state))

        await self._store.run(work)

    async def cancel(self, owner: str | None, id_: str) -> StoredBatch:
        """Have a batch cancelled; one that ends already stays as it is. Raises NotFound."""

        def work(connection: SqlConnection, now: float) -> StoredBatch:
            _get(connection, owner, id_)
            states = "('validating', 'in_progress')"
            query = f"UPDATE batches SET state = 'cancelling', cancelling = ? WHERE id = ? AND state IN {states}"
            connection.execute(query, (now, id_))
            return _get(connection, owner, id_)

        return await self._store.run(work)

    async def unfinished(self, batch: StoredBatch) -> int:
        """How many jobs of a batch wait or run."""
        query = f"SELECT COUNT(*) FROM jobs WHERE batch = ? AND {queries.UNFINISHED}"
        return await self._store.run(lambda connection, _: int(connection.execute(query, (batch.id,)).fetchone()[0]))

    async def feed(self, batch: StoredBatch, lines: Sequence[Line], lines_read: int, bytes_read: int) -> None:
        """Make jobs of the next lines, unless the batch has changed since. What cannot run has failed at once."""

        def work(connection: SqlConnection, now: float) -> None:
            query = "UPDATE batches SET lines_read = ?, bytes_read = ? WHERE id = ? AND state = ? AND bytes_read = ?"
            values = (lines_read, bytes_read, batch.id, batch.state, batch.bytes_read)
            if not connection.execute(query, values).rowcount:
                return
            for submission, error in lines:
                queries.insert(connection, submission, now)
                if error is not None:
                    failed = {"error": json.dumps(error.envelope(submission.id)["error"])}
                    queries.finish(connection, ("id = ?", (submission.id,)), JobState.FAILED, now, failed)

        await self._store.run(work)

    async def stop(self, batch: StoredBatch, state: JobState) -> list[str]:
        """End the jobs of a batch that have not ended. Returns their ids."""

        def work(connection: SqlConnection, now: float) -> list[str]:
            which = (f"batch = ? AND {queries.UNFINISHED}", (batch.id,))
            rows = connection.execute(f"SELECT id FROM jobs WHERE {which[0]}", which[1]).fetchall()
            queries.finish(connection, which, state, now)
            return [row[0] for row in rows]

        ids = await self._store.run(work)
        self._store.payloads.remove(map(request_file, ids))
        return ids

    async def outcomes(self, batch: StoredBatch, after: int) -> list[tuple[int, Outcome]]:
        """The next outcomes of a batch that has finished, with the numbers of their lines."""
        query = f"SELECT {_OF_LINE} FROM jobs WHERE batch = ? AND line > ? ORDER BY line LIMIT {_PAGE}"
        rows = await self._store.run(lambda connection, _: connection.execute(query, (batch.id, after)).fetchall())
        return [(row[2], self._outcome(row)) for row in rows]

    def _outcome(self, row: Any) -> Outcome:
        id_, custom_id, _, state, status, type_, result, file, error = row
        if state in {JobState.CANCELLED, JobState.EXPIRED} and not error:
            return Outcome(id_, custom_id, reason=state)
        if error:
            document = json.loads(error)
            return Outcome(id_, custom_id, from_envelope({"error": document}).status, error=document)
        body = self._store.payloads.read(file) if file else bytes(result)
        is_json = (type_ or "").partition(";")[0].strip().lower() == "application/json"
        return Outcome(id_, custom_id, status, body, is_json)

    async def finish(self, batch: StoredBatch, state: BatchState, outputs: Sequence[StoredFile | None]) -> None:
        """End a batch with its output and its error file, whose contents are on the disk; its jobs go."""

        def work(connection: SqlConnection, now: float) -> list[str]:
            output, error = outputs
            values = (state, now, output and output.id, error and error.id, *_counts(connection, batch.id), batch.id)
            query = """
                UPDATE batches SET state = ?, ended = ?, output_file = ?, error_file = ?, completed = ?, failed = ?
                WHERE id = ? AND state = 'finalizing'
            """
            if not connection.execute(query, values).rowcount:
                return [file.id for file in outputs if file]
            for file in outputs:
                if file:
                    expires = None if batch.keep_output is None else now + batch.keep_output
                    files.insert(connection, dataclasses.replace(file, created=now, expires=expires))
            query = "DELETE FROM jobs WHERE batch = ? RETURNING id, result_file"
            rows = connection.execute(query, (batch.id,)).fetchall()
            return [name for id_, file in rows for name in (request_file(id_), file) if name]

        self._store.payloads.remove(await self._store.run(work))

    async def prune(self, keep: float) -> None:
        """Remove the batches that ended more than `keep` seconds ago; their files stay."""
        query = "DELETE FROM batches WHERE ended < ?"
        await self._store.run(lambda connection, now: connection.execute(query, (now - keep,)).rowcount)


def _batch(row: Any) -> StoredBatch:
    values = dict(zip(BATCH_NAMES, row, strict=True))
    return StoredBatch(**{**values, "state": BatchState(values["state"])})


def _get(connection: SqlConnection, owner: str | None, id_: str) -> StoredBatch:
    row = connection.execute(f"SELECT {_COLUMNS} FROM batches WHERE id = ?", (id_,)).fetchone()
    batch = _batch(row) if row else None
    if batch is None or owner not in {None, batch.owner}:
        raise NotFound(f"There is no batch {id_[:100]!r}. GET /v1/batches lists yours.")
    return _counted(connection, batch)


def _counted(connection: SqlConnection, batch: StoredBatch) -> StoredBatch:
    if batch.ended is not None:
        return batch
    completed, failed = _counts(connection, batch.id)
    return dataclasses.replace(batch, completed=completed, failed=failed)


def _counts(connection: SqlConnection, id_: str) -> tuple[int, int]:
    query = "SELECT state, COUNT(*) FROM jobs WHERE batch = ? GROUP BY state"
    counts = dict(connection.execute(query, (id_,)).fetchall())
    return counts.get(JobState.COMPLETED, 0), counts.get(JobState.FAILED, 0)


def _page(connection: SqlConnection, wanted: Page) -> list[StoredBatch]:
    conditions, values = ["seq > 0"], list[Any]()
    if wanted.owner is not None:
        conditions.append("owner = ?")
        values.append(wanted.owner)
    if wanted.after:
        _get(connection, wanted.owner, wanted.after)
        conditions.append("seq < (SELECT seq FROM batches WHERE id = ?)")
        values.append(wanted.after)
    where = " AND ".join(conditions)
    query = f"SELECT {_COLUMNS} FROM batches WHERE {where} ORDER BY seq DESC LIMIT {wanted.limit}"
    return [_counted(connection, _batch(row)) for row in connection.execute(query, values).fetchall()]
