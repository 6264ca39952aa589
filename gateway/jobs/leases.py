"""Which gateway runs which jobs, where several share a database: one that stays silent loses its jobs to the others."""

from __future__ import annotations

import json

from contract.errors import EngineFailed
from gateway.jobs.job import JobState
from gateway.jobs.queries import finish
from gateway.storage.database import SqlConnection

BEAT = 3.0
"""Seconds between two signs of life."""
SILENCE = 15.0
"""Seconds after which a gateway counts as dead. If it lives all the same, its runs cannot end their jobs any more."""
MAX_INTERRUPTIONS = 25
"""How many gateways may end in the middle of a job."""
_FORGOTTEN = 86400.0


def beat(connection: SqlConnection, gateway: str) -> None:
    """Record that a gateway lives, by the database's clock."""
    time = connection.time
    query = f"""
        INSERT INTO gateways (id, seen) VALUES (?, {time}) ON CONFLICT (id) DO UPDATE SET seen = excluded.seen
    """
    connection.execute(query, (gateway,))
    connection.execute(f"DELETE FROM gateways WHERE seen < {time} - ?", (_FORGOTTEN,))


def leave(connection: SqlConnection, gateway: str) -> None:
    """Record that a gateway has ended, and runs nothing any more."""
    connection.execute("DELETE FROM gateways WHERE id = ?", (gateway,))


def held(connection: SqlConnection, gateway: str) -> set[str]:
    """The ids of the jobs that a gateway may still end."""
    query = "SELECT id FROM jobs WHERE state = 'running' AND gateway = ?"
    return {row[0] for row in connection.execute(query, (gateway,)).fetchall()}


def take_over(connection: SqlConnection, now: float) -> int:
    """Queue the jobs that gateways which are gone have begun; how many there are.

    A job that gateways ended with again and again may be the reason, and fails. Where a database has one gateway, those
    before it are gone.
    """
    message = f"The gateway ended {MAX_INTERRUPTIONS} times while it ran this job, so the job is not run again."
    error = json.dumps(EngineFailed(message).envelope()["error"])
    abandoned = "state = 'running'"
    if connection.shared:
        living = f"SELECT id FROM gateways WHERE seen > {connection.time} - {SILENCE}"
        abandoned += f" AND (gateway IS NULL OR gateway NOT IN ({living}))"
    rows = connection.execute(f"SELECT id FROM jobs WHERE {abandoned} {connection.locked}").fetchall()
    for (id_,) in rows:
        connection.execute("UPDATE jobs SET interruptions = interruptions + 1 WHERE id = ?", (id_,))
        which = (f"id = ? AND interruptions >= {MAX_INTERRUPTIONS}", (id_,))
        if not finish(connection, which, JobState.FAILED, now, {"error": error}):
            connection.execute("UPDATE jobs SET state = 'queued', not_before = 0 WHERE id = ?", (id_,))
    return len(rows)
