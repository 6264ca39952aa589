"""The statements of the job store, each run inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sized
from typing import Any

from contract.errors import Forbidden, IdempotencyConflict, NotFound, QueueFull
from gateway.jobs.job import ENDED, Job, JobFilter, JobState, Run, StoredRequest, Submission
from gateway.jobs.payloads import LARGE, request_file
from gateway.jobs.schema import COLUMNS, job_in
from gateway.storage.database import SqlConnection

Which = tuple[str, tuple[object, ...]]
"""A condition, and the values of its parameters."""

UNFINISHED = "state IN ('queued', 'running')"
OVER = "state NOT IN ('queued', 'running')"

OF_RUN = "id = ? AND run = ? AND state = 'running'"


def no_such_job(id_: str) -> NotFound:
    """The error for a job that does not exist, or belongs to another key."""
    return NotFound(f"There is no job {id_[:100]!r}. GET /jobs lists yours; those that ended are kept for jobs.keep.")


def get(connection: SqlConnection, owner: str | None, id_: str) -> Job:
    row = connection.execute(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", (id_,)).fetchone()
    job = job_in(row) if row else None
    if job is None or owner not in {None, job.owner}:
        raise no_such_job(id_)
    return job


class QueueLimit:
    """Refuses jobs beyond a number of those that wait and run. It counts them as rarely as it can, not for each one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = 0  # at least so many more may be added: others only end, unless other gateways add some

    def take(self, connection: SqlConnection) -> None:
        """Take a place for a job. Raises QueueFull."""
        if self._room <= 0 or connection.shared:
            query = f"SELECT COUNT(*) FROM jobs WHERE {UNFINISHED} AND batch IS NULL"
            unfinished = connection.execute(query).fetchone()[0]
            self._room = self._most - unfinished
            if self._room <= 0:
                message = f"{unfinished} jobs wait or run already. Try again later, or raise jobs.max_queued."
                raise QueueFull(message, details={"waiting": unfinished}, retry_after=10)
        self._room -= 1


def add(connection: SqlConnection, submission: Submission, limit: QueueLimit, now: float) -> tuple[Job, bool]:
    """Insert a job, or find the one that was submitted with the same key. Raises IdempotencyConflict or QueueFull."""
    if earlier := _submitted_before(connection, submission):
        return earlier, False
    limit.take(connection)
    if row := insert(connection, submission, now):
        return job_in(row), True
    earlier = _submitted_before(connection, submission)  # another gateway was faster
    assert earlier is not None
    return earlier, False


def place(connection: SqlConnection, job: Job) -> int | None:
    """How many queued jobs of the same model are ahead of a queued one; None for a job that is not queued."""
    if job.state is not JobState.QUEUED:
        return None
    count = "SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND model = ? AND"
    query = f"SELECT ({count} priority > ?) + ({count} priority = ? AND seq < ?)"  # an OR would read each job
    return int(connection.execute(query, (job.model, job.priority, job.model, job.priority, job.seq)).fetchone()[0])


def _submitted_before(connection: SqlConnection, submission: Submission) -> Job | None:
    if submission.idempotency_key is None:
        return None
    query = f"SELECT {COLUMNS} FROM jobs WHERE owner = ? AND idempotency_key = ?"
    row = connection.execute(query, (submission.owner, submission.idempotency_key)).fetchone()
    if row is None:
        return None
    job = job_in(row)
    if job.digest != submission.digest:
        message = f"The Idempotency-Key was used for another request, the job {job.id}. Send a new key."
        raise IdempotencyConflict(message, param="Idempotency-Key", details={"job_id": job.id})
    return job


def insert(connection: SqlConnection, submission: Submission, now: float) -> Any:
    """Insert a job that is queued, and return its row; None: there is one with its key."""
    request = submission.request
    values = {
        "id": submission.id,
        "owner": submission.owner,
        "type": submission.type,
        "path": request.path,
        "query": request.query,
        "headers": json.dumps(request.headers),
        "body": None if len(request.body) > LARGE else request.body,
        "request_bytes": len(request.body),
        "idempotency_key": submission.idempotency_key,
        "digest": submission.digest,
        "model": submission.model,
        "priority": submission.priority,
        "batch": submission.batch,
        "custom_id": submission.custom_id,
        "line": submission.line,
        "webhook": submission.webhook,
        "webhook_secret": submission.webhook_secret,
        "state": JobState.QUEUED,
        "created": now,
        "not_before": now,
        "expires": submission.expires,
    }
    query = f"""
        INSERT INTO jobs ({", ".join(values)}) VALUES ({_marks(values)}) ON CONFLICT DO NOTHING RETURNING {COLUMNS}
    """
    return connection.execute(query, tuple(values.values())).fetchone()


def page(connection: SqlConnection, wanted: JobFilter) -> list[Job]:
    conditions, values = ["batch IS NULL"], list[str]()
    if wanted.owner is not None:
        conditions.append("owner = ?")
        values.append(wanted.owner)
    if wanted.states:
        conditions.append(f"state IN ({', '.join('?' * len(wanted.states))})")
        values += wanted.states
    if wanted.type:
        conditions.append("type = ?")
        values.append(wanted.type)
    if wanted.before:
        conditions.append(f"seq < {get(connection, wanted.owner, wanted.before).seq}")
    query = f"SELECT {COLUMNS} FROM jobs WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT {wanted.limit}"
    return [job_in(row) for row in connection.execute(query, values).fetchall()]


def claim(connection: SqlConnection, free: Callable[[str], int], gateway: str, now: float) -> list[Run]:
    """Begin a run of the jobs that come next, by priority and then in order; of each model as many as `free`."""
    ready = "state = 'queued' AND not_before + 0 <= ?"  # the sum keeps SQLite from the index by time, and from sorting
    runs: list[Run] = []
    for (model,) in connection.execute(_MODELS).fetchall():
        room = free(model)
        if room > 0:
            query = f"""
                SELECT id FROM jobs WHERE {ready} AND model = ?
                ORDER BY priority DESC, seq LIMIT {room} {connection.locked}
            """
            ids = [row[0] for row in connection.execute(query, (now, model)).fetchall()]
            query = f"""
                UPDATE jobs SET state = 'running', run = run + 1, started = COALESCE(started, ?), gateway = ?
                WHERE id IN ({_marks(ids)}) RETURNING query, headers, body, {COLUMNS}
            """
            rows = connection.execute(query, (now, gateway, *ids)).fetchall() if ids else []
            runs += [_run_in(row) for row in rows]
    return sorted(runs, key=lambda run: (-run.job.priority, run.job.seq))


_MODELS = """
    WITH RECURSIVE waiting (model) AS (
        SELECT MIN(model) FROM jobs WHERE state = 'queued'
        UNION ALL
        SELECT (SELECT MIN(model) FROM jobs WHERE state = 'queued' AND jobs.model > waiting.model) FROM waiting
        WHERE waiting.model IS NOT NULL
    )
    SELECT model FROM waiting WHERE model IS NOT NULL
"""
"""The models for which jobs wait: one look at the index for each, where DISTINCT would read all jobs that wait."""


def _run_in(row: Any) -> Run:
    query, headers, body, *columns = row
    return Run(job := job_in(columns), None if body is None else stored_request(job.path, query, headers, body))


def stored_request(path: str, query: str, headers: str, body: bytes) -> StoredRequest:
    """The request in columns of a row."""
    return StoredRequest(path, query, [(name, value) for name, value in json.loads(headers)], bytes(body))


def expire(connection: SqlConnection, now: float) -> list[str]:
    """End the jobs whose time is over. Returns their ids."""
    due = f"{UNFINISHED} AND expires <= ?"
    ids = [row[0] for row in connection.execute(f"SELECT id FROM jobs WHERE {due}", (now,)).fetchall()]
    if ids:
        finish(connection, (due, (now,)), JobState.EXPIRED, now)
    return ids


def _marks(values: Sized) -> str:
    return ", ".join("?" * len(values))


def next_time(connection: SqlConnection, now: float) -> float | None:
    """When the next job may run again, or expires; None: no job waits for a time."""
    queries = (
        "SELECT MIN(not_before) FROM jobs WHERE state = 'queued' AND not_before > ?",
        f"SELECT MIN(expires) FROM jobs WHERE {UNFINISHED} AND expires > ?",
    )
    times = [connection.execute(query, (now,)).fetchone()[0] for query in queries]
    return min((time for time in times if time is not None), default=None)


def finish(
    connection: SqlConnection,
    which: Which,
    state: JobState,
    now: float,
    values: Mapping[str, object] | None = None,
) -> int:
    """End the jobs that fulfil a condition; how many there are. What a batch ran is in the batch's own file."""
    assert state in ENDED
    changed = {"state": state, "ended": now, **(values or {})}
    assignments = ", ".join(f"{name} = ?" for name in changed)
    assignments += ", body = CASE WHEN batch IS NULL THEN body ELSE NULL END"
    assignments += f", webhook_due = CASE WHEN webhook IS NULL THEN NULL ELSE {now!r} END"
    condition, parameters = which
    query = f"UPDATE jobs SET {assignments} WHERE {condition}"
    return connection.execute(query, (*changed.values(), *parameters)).rowcount


def claim_webhooks(connection: SqlConnection, limit: int, seconds: float, now: float) -> list[tuple[Job, str]]:
    """Begin an attempt at webhooks that are due, with their secrets; without its outcome, another one follows."""
    due = f"SELECT id FROM jobs WHERE webhook_due <= ? ORDER BY webhook_due LIMIT {limit} {connection.locked}"
    ids = [row[0] for row in connection.execute(due, (now,)).fetchall()]
    query = f"""
        UPDATE jobs SET webhook_due = ?, webhook_attempts = webhook_attempts + 1
        WHERE id IN ({_marks(ids)}) RETURNING webhook_secret, {COLUMNS}
    """
    rows = connection.execute(query, (now + seconds, *ids)).fetchall() if ids else []
    return [(job_in(row[1:]), row[0]) for row in rows]


def note_webhook(
    connection: SqlConnection, job: Job, *, due: float | None, sent: float | None, error: str | None
) -> None:
    """Store the outcome of an attempt. The secret is kept as long as there may be another one."""
    secret = "webhook_secret" if due else "NULL"
    query = f"""
        UPDATE jobs SET webhook_due = ?, webhook_sent = ?, webhook_error = ?, webhook_secret = {secret}
        WHERE id = ? AND webhook_attempts = ? AND webhook_due IS NOT NULL
    """
    connection.execute(query, (due, sent, error, job.id, job.webhook_attempts))


def cancel_without(connection: SqlConnection, admits: Callable[[str], bool], now: float) -> list[str]:
    """Cancel the unfinished jobs of owners that are not admitted any more. Returns their ids."""
    owners = [row[0] for row in connection.execute(f"SELECT DISTINCT owner FROM jobs WHERE {UNFINISHED}").fetchall()]
    ids: list[str] = []
    for owner in (owner for owner in owners if not admits(owner)):
        which = (f"owner = ? AND {UNFINISHED}", (owner,))
        ids += [row[0] for row in connection.execute(f"SELECT id FROM jobs WHERE {which[0]}", which[1]).fetchall()]
        message = f"The key {owner.partition(':')[2]!r}, which submitted this job, has been revoked."
        error = json.dumps(Forbidden(f"{message} Submit it with another key.").envelope()["error"])
        finish(connection, which, JobState.CANCELLED, now, {"error": error})
    return ids


def prune(connection: SqlConnection, ended_before: float, max_bytes: int) -> list[tuple[str, str | None]]:
    """Remove jobs that ended before a time, and the oldest while jobs that ended take more bytes.

    Returns their ids, and the files of their results.
    """
    old = "ended < ? AND webhook_due IS NULL AND batch IS NULL"
    rows = connection.execute(f"DELETE FROM jobs WHERE {old} RETURNING id, result_file", (ended_before,)).fetchall()
    which, size = "ended IS NOT NULL AND batch IS NULL", "result_bytes + request_bytes"
    query = f"SELECT COALESCE(SUM({size}), 0) FROM jobs WHERE {which}"
    total = int(connection.execute(query).fetchone()[0])
    if total > max_bytes:
        query = f"SELECT id, {size} FROM jobs WHERE {which} AND {size} > 0 ORDER BY ended"
        for id_, freed in connection.execute(query).fetchall():
            rows += connection.execute("DELETE FROM jobs WHERE id = ? RETURNING id, result_file", (id_,)).fetchall()
            total -= freed
            if total <= max_bytes:
                break
    return [(id_, file) for id_, file in rows]


def files_in_use(connection: SqlConnection) -> set[str]:
    """The names of all files that rows refer to."""
    rows = connection.execute("SELECT id, batch IS NOT NULL, state, result_file FROM jobs").fetchall()
    requests = {request_file(id_) for id_, in_batch, state, _ in rows if not in_batch or state not in ENDED}
    files = {row[0] for row in connection.execute("SELECT id FROM files").fetchall()}
    return files | requests | {file for *_, file in rows if file}
