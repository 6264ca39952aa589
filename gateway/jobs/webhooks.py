"""Calls the URLs that jobs name once these have ended: signed, and again later until the receiver has accepted it.

What is still to be sent is in the table of jobs, so that it survives restarts. A receiver may get a webhook twice, if
the gateway dies before it has recorded the answer; both have the same `webhook-id`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp

from contract.addresses import Allowed, NotPublic, check_host, reason
from contract.checked_client import client_session
from contract.errors import InvalidField
from contract.webhooks import signed_headers
from gateway.jobs import metrics
from gateway.jobs.job import Job, Submission
from gateway.jobs.store import JobStore
from gateway.jobs.view import view

log = logging.getLogger(__name__)

PARAM = "X-Job-Webhook"
DELAYS = (5, 60, 300, 1800, 7200, 18000, 36000, 50400, 72000)
"""Seconds from each failed attempt to the next; after the last one, the webhook is given up."""
TIMEOUT = 15
"""Seconds that a receiver may take to answer."""
_AT_ONCE = 16
_LONGEST_URL = 2048
_IDLE = 30.0
_GONE = 410


class Webhooks:
    """Sends what is due, `_AT_ONCE` at a time, until it is cancelled. `clock` gives the seconds since the epoch."""

    def __init__(self, store: JobStore, allowed: Allowed, secret: str, clock: Callable[[], float]) -> None:
        """`secret` signs webhooks that bring none of their own; empty: there is none."""
        self._store = store
        self._secret = secret
        self._allowed = allowed
        self._clock = clock
        self._wake = asyncio.Event()

    def checked(self, submission: Submission) -> Submission:
        """The submission with the secret of its webhook, if it has one. Raises InvalidField if it cannot be sent."""
        if submission.webhook is None:
            return submission
        _check_url(submission.webhook, self._allowed)
        if secret := submission.webhook_secret or self._secret:
            return dataclasses.replace(submission, webhook_secret=secret)
        message = "A webhook must be signed: send `X-Job-Webhook-Secret` with it, or configure jobs.webhook_secret."
        raise InvalidField(message, param=PARAM)

    def wake(self) -> None:
        """Look for due webhooks now."""
        self._wake.set()

    async def run(self) -> None:
        """Send webhooks when they are due."""
        while True:
            self._wake.clear()
            delay = _IDLE
            try:
                await self.send_due()
                delay = await self._store.seconds_to_webhook(_IDLE)
            except Exception:
                log.exception("the webhooks of jobs cannot be read")
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wake.wait()

    async def send_due(self) -> None:
        """Make one attempt at each webhook that is due."""
        while due := await self._store.claim_webhooks(_AT_ONCE, 2 * TIMEOUT):
            async with client_session(self._allowed) as client:
                await asyncio.gather(*(self._attempt(client, job, secret) for job, secret in due))

    async def _attempt(self, client: aiohttp.ClientSession, job: Job, secret: str) -> None:
        problem, is_final = await self._send(client, job, secret)
        if problem is None:
            metrics.WEBHOOKS.labels("accepted").inc()
            await self._store.webhook_accepted(job)
            return
        again = None if is_final or job.webhook_attempts > len(DELAYS) else DELAYS[job.webhook_attempts - 1]
        metrics.WEBHOOKS.labels("failed" if again else "given_up").inc()
        end = f"next attempt in {again} s" if again else "given up"
        log.warning("the webhook of %s to %s failed: %s; %s", job.id, job.webhook, problem, end)
        await self._store.webhook_failed(job, problem, again)

    async def _send(self, client: aiohttp.ClientSession, job: Job, secret: str) -> tuple[str | None, bool]:
        """What is wrong, if anything is, and whether other attempts would be of no use."""
        assert job.webhook
        body = _body(job)
        headers = signed_headers(secret, webhook_id(job), int(self._clock()), body)
        headers |= {"content-type": "application/json", "user-agent": "Enginehouse"}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        try:
            check_host(urlsplit(job.webhook).hostname or "", self._allowed)
            async with client.post(
                job.webhook, data=body, headers=headers, allow_redirects=False, timeout=timeout
            ) as answer:
                return _problem(answer.status), answer.status == _GONE
        except (aiohttp.ClientError, OSError, ValueError) as error:
            is_refused = isinstance(error, NotPublic) or isinstance(error.__cause__, NotPublic)
            return ("the address is not public" if is_refused else reason(error)), is_refused


def webhook_id(job: Job) -> str:
    """The `webhook-id`: the same for every attempt, and another one for each job."""
    return f"msg_{job.id.removeprefix('job_')}"


def _body(job: Job) -> bytes:
    """The message: its type, when the job ended, and the fields of the job without its result."""
    ended = datetime.fromtimestamp(job.ended or 0, UTC).isoformat(timespec="milliseconds")
    data = {name: value for name, value in view(job).items() if name != "webhook"}
    return json.dumps({"type": f"job.{job.state}", "timestamp": ended, "data": data}, ensure_ascii=False).encode()


def _problem(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return f"it answered with status {status}" + (", and redirects are not followed" if status // 100 == 3 else "")


def _check_url(url: str, allowed: Allowed) -> None:
    """Raise InvalidField for a URL that cannot be called. What its name resolves to is checked at each call."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    is_plain = url.isascii() and url.isprintable() and len(url) <= _LONGEST_URL
    if not (is_plain and host and parts.scheme in {"http", "https"}) or parts.username or parts.fragment:
        message = f"`{PARAM}` must be an http or https URL of at most {_LONGEST_URL} characters, without a user."
        raise InvalidField(message, param=PARAM)
    try:
        check_host(host, allowed)
    except NotPublic:
        message = f"`{PARAM}` leads to {host}, which is not public."
        raise InvalidField(f"{message} List its network in gateway.allow_private to allow it.", param=PARAM) from None
