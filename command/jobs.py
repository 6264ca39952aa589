"""`enginehouse jobs`: requests that run later, alone or in batches: submit, list, show, wait for, and cancel them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from client.calls.jobs import BatchReport, JobReport
from command import exit_codes
from command.session import CommandError, Session, console
from command.tables import make_table
from command.units import seconds

JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id")]
STYLES = {"completed": "green", "running": "yellow", "failed": "red", "cancelled": "dim", "expired": "dim"}


def submit(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="A task, or a path of the API such as v1/chat/completions")],
    body: Annotated[str, typer.Argument(help="The request as JSON, or the path of a file with it")],
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until it ends, and print its result")] = False,
) -> None:
    """Store a request, which then runs even if you disconnect."""
    session = Session.of(context)
    with session.client() as client:
        job = client.submit_job(task, _document(body))
    if wait:
        _wait(session, job.job_id)
    else:
        session.show(job.raw, f"{job.job_id} is {job.status}. `enginehouse jobs wait {job.job_id}` waits for it.")


def list_jobs(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="Only these states, such as queued,running")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most")] = 50,
) -> None:
    """List your jobs, newest first."""
    session = Session.of(context)
    with session.client() as client:
        jobs = client.jobs(status, limit=limit)
    session.show([job.raw for job in jobs], _table(jobs) if jobs else "There are no jobs.")


def show(context: typer.Context, job_id: JobId) -> None:
    """Show a job and its result."""
    session = Session.of(context)
    with session.client() as client:
        _show(session, client.job(job_id))


def wait(context: typer.Context, job_id: JobId) -> None:
    """Wait until a job has ended, and show its result."""
    _wait(Session.of(context), job_id)


def cancel(context: typer.Context, job_id: JobId) -> None:
    """Cancel a job that has not ended, or remove one that has, with its result."""
    session = Session.of(context)
    with session.client() as client:
        message = client.delete_job(job_id)
    session.show({"job_id": job_id, "message": message}, message)


def list_batches(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many at most")] = 20,
) -> None:
    """List your batches of requests, newest first."""
    session = Session.of(context)
    with session.client() as client:
        batches = client.batches(limit=limit)
    session.show([batch.raw for batch in batches], _batch_table(batches) if batches else "There are no batches.")


def cancel_batch(context: typer.Context, batch_id: Annotated[str, typer.Argument(metavar="BATCH")]) -> None:
    """Cancel a batch. What has ended by then stays in its files."""
    session = Session.of(context)
    with session.client() as client:
        batch = client.cancel_batch(batch_id)
    session.show(batch.raw, f"{batch.id} is {batch.status}.")


def _document(body: str) -> dict[str, Any]:
    text = body if body.lstrip().startswith("{") else Path(body).read_text(encoding="utf-8")
    try:
        document = json.loads(text)
    except ValueError as error:
        raise CommandError(f"The request is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise CommandError('The request must be a JSON object, such as {"model": "m"}')
    return document


def _wait(session: Session, job_id: str) -> None:
    """Show the job once it has ended. Exits with 1 if it failed."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    silent = session.as_json or not console().is_terminal
    with session.client() as client:
        with Progress(*columns, console=console(), transient=True, disable=silent) as bars:
            bar = bars.add_task("", total=None)
            for job in client.follow_job(job_id):
                progress = job.progress or {}
                steps, total = progress.get("done") or 0, progress.get("total")
                bars.update(bar, description=_line(job), completed=steps, total=total)
        job = client.job(job_id)  # with its result, which events may leave out
        _show(session, job)
    if job.status != "completed":
        raise typer.Exit(exit_codes.FAILED)


def _line(job: JobReport) -> str:
    """What a job does now, for people."""
    message = (job.progress or {}).get("message")
    return message or job.status + (f", behind {job.ahead} others" if job.ahead else "")


def _show(session: Session, job: JobReport) -> None:
    parts: list[Any] = [_table([job])]
    if job.error:
        message = job.error.get("message") if isinstance(job.error, dict) else job.error
        parts.append(Text(str(message), style="red"))
    if webhook := job.raw.get("webhook"):
        parts.append(_webhook(webhook))
    if job.result is not None:
        parts.append(json.dumps(job.result, ensure_ascii=False, indent=2))
    session.show(job.raw, *parts)


def _webhook(webhook: dict[str, Any]) -> Text:
    """Whether a job's webhook has reached its receiver, for people."""
    if webhook["accepted_at"]:
        return Text(f"webhook {webhook['url']}: accepted at {_utc(webhook['accepted_at'])}")
    if webhook["error"]:
        return Text(f"webhook {webhook['url']}: {webhook['attempts']} attempts, {webhook['error']}", style="yellow")
    return Text(f"webhook {webhook['url']}: is called once the job has ended")


def _batch_table(batches: list[BatchReport]) -> Table:
    table = make_table("batch", "state", "path", "done", "failed", "created")
    for batch in batches:
        counts, created = batch.request_counts, datetime.fromtimestamp(batch.created_at, UTC).isoformat()
        done = f"{counts.get('completed', 0)} of {counts.get('total', 0)}"
        state = Text(batch.status, style=STYLES.get(batch.status, ""))
        table.add_row(batch.id, state, batch.endpoint, done, str(counts.get("failed") or ""), _utc(created))
    return table


def _table(jobs: list[JobReport]) -> Table:
    table = make_table("job", "state", "type", "model", "created", "took", "attempts")
    for job in jobs:
        state = Text(job.status, style=STYLES.get(job.status, ""))
        took, created = seconds(job.processing_time), _utc(job.created_at or "")
        table.add_row(job.job_id, state, job.model_type, job.model or "", created, took, str(job.attempts))
    return table


def _utc(iso: str) -> str:
    """A time of the API, without zone and fractions: it is UTC."""
    return iso[:19].replace("T", " ")
