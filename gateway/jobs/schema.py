"""The tables of jobs, the steps from each version of them to the next, and how rows become jobs."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from gateway.jobs.job import Job, JobState

_FIRST = (
    """
    CREATE TABLE IF NOT EXISTS jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        type TEXT NOT NULL,
        path TEXT NOT NULL,
        query TEXT NOT NULL,
        headers TEXT NOT NULL,
        body BLOB,
        idempotency_key TEXT,
        digest TEXT NOT NULL,
        model TEXT NOT NULL,
        priority INTEGER NOT NULL,
        state TEXT NOT NULL,
        run INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        interruptions INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL,
        not_before REAL NOT NULL,
        expires REAL,
        started REAL,
        ended REAL,
        result_status INTEGER,
        result_type TEXT,
        result_bytes INTEGER NOT NULL DEFAULT 0,
        result BLOB,
        result_file TEXT,
        error TEXT
    )
    """,
    "CREATE UNIQUE INDEX IF NOT EXISTS jobs_by_key ON jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS jobs_in_line ON jobs (state, model, priority DESC, seq)",
    "CREATE INDEX IF NOT EXISTS jobs_of_owner ON jobs (owner, seq)",
    "CREATE INDEX IF NOT EXISTS jobs_by_end ON jobs (ended) WHERE ended IS NOT NULL",
)
"""A request's body and a result are null if they are in a file."""

_WEBHOOKS = (
    "ALTER TABLE jobs ADD COLUMN webhook TEXT",
    "ALTER TABLE jobs ADD COLUMN webhook_secret TEXT",
    "ALTER TABLE jobs ADD COLUMN webhook_due REAL",
    "ALTER TABLE jobs ADD COLUMN webhook_attempts INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN webhook_sent REAL",
    "ALTER TABLE jobs ADD COLUMN webhook_error TEXT",
    "CREATE INDEX jobs_by_webhook ON jobs (webhook_due) WHERE webhook_due IS NOT NULL",
)
"""`webhook_due` is when the webhook is sent next; null before the job has ended, and once nothing is to be sent."""

_BATCHES = (
    "ALTER TABLE jobs ADD COLUMN batch TEXT",
    "ALTER TABLE jobs ADD COLUMN custom_id TEXT",
    "ALTER TABLE jobs ADD COLUMN line INTEGER",
    "CREATE UNIQUE INDEX jobs_of_batch ON jobs (batch, line) WHERE batch IS NOT NULL",
    """
    CREATE TABLE files (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        filename TEXT NOT NULL,
        purpose TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created REAL NOT NULL,
        expires REAL
    )
    """,
    """
    CREATE TABLE batches (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        input_file TEXT NOT NULL,
        completion_window TEXT NOT NULL,
        metadata TEXT,
        keep_output REAL,
        state TEXT NOT NULL,
        created REAL NOT NULL,
        expires REAL NOT NULL,
        in_progress REAL,
        cancelling REAL,
        finalizing REAL,
        ended REAL,
        total INTEGER NOT NULL DEFAULT 0,
        lines_read INTEGER NOT NULL DEFAULT 0,
        bytes_read INTEGER NOT NULL DEFAULT 0,
        completed INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        output_file TEXT,
        error_file TEXT,
        errors TEXT
    )
    """,
)
"""The lines of a batch that were read so far are jobs, until the batch has ended. A file's content is in the folder."""

_GATEWAYS = (
    "ALTER TABLE jobs ADD COLUMN gateway TEXT",
    "CREATE TABLE gateways (id TEXT PRIMARY KEY, seen REAL NOT NULL)",
)
"""Which gateway runs a job, and when each has last shown that it lives."""

_TIMES = (
    "CREATE INDEX jobs_by_time ON jobs (state, not_before) WHERE state = 'queued'",
    "CREATE INDEX jobs_by_expiry ON jobs (state, expires) WHERE expires IS NOT NULL",
)
"""When waiting jobs may run, and when jobs expire: the engine looks these up after each job, however many wait."""

_REQUESTS = (
    "ALTER TABLE jobs ADD COLUMN request_bytes INTEGER NOT NULL DEFAULT 0",
    "UPDATE jobs SET request_bytes = LENGTH(body) WHERE body IS NOT NULL",
)
"""The size of a request, which is kept as long as its job. It is 0 for jobs that ended when it was not kept."""

STEPS: tuple[tuple[str, ...], ...] = (_FIRST, _WEBHOOKS, _BATCHES, _GATEWAYS, _TIMES, _REQUESTS)
"""The statements of each version, on top of those before. Steps that were released never change; add one instead.

The first one also accepts a database from before versions were counted.
"""


_NAMES = tuple(field.name for field in dataclasses.fields(Job))
COLUMNS = ", ".join(_NAMES)


def job_in(row: Any) -> Job:
    """The job in a row of `COLUMNS`."""
    values = dict(zip(_NAMES, row, strict=True))
    error = values["error"] and json.loads(values["error"])
    return Job(**{**values, "state": JobState(values["state"]), "error": error})
