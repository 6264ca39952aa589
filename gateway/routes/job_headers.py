"""The headers of a submission: what they mean for its job, and which of them its request keeps."""

from __future__ import annotations

import re
import time

from starlette.types import Scope

from contract import durations
from contract.asgi.middleware import header
from contract.errors import InvalidField
from contract.webhooks import check_secret
from gateway.forwarding.client_headers import forwarded_headers

_OF_CLIENT = frozenset({"user-agent", "accept-language"})
_OF_SUBMISSION = frozenset(
    {"idempotency-key", "x-job-priority", "x-job-expires", "x-job-webhook", "x-job-webhook-secret"}
)
_ALSO_KEPT = (b"x-keep-alive",)
_PRIORITIES = range(-100, 101)
_MAX_KEY = 255


def kept_headers(scope: Scope) -> list[tuple[str, str]]:
    """The headers with which the request will run."""
    kept = [(name, value) for name, value in forwarded_headers(scope) if name not in _OF_SUBMISSION | _OF_CLIENT]
    return [*kept, *((name.decode(), value) for name in _ALSO_KEPT if (value := header(scope, name)))]


def priority(scope: Scope) -> int:
    """The job's priority. Raises InvalidField."""
    value = header(scope, b"x-job-priority") or "0"
    if not re.fullmatch(r"-?\d{1,3}", value) or int(value) not in _PRIORITIES:
        message = "`X-Job-Priority` must be a whole number from -100 to 100; jobs with a higher one run first."
        raise InvalidField(message, param="X-Job-Priority")
    return int(value)


def expiry(scope: Scope) -> float | None:
    """When the job expires, from the seconds or the duration in `X-Job-Expires`. Raises InvalidField."""
    value = header(scope, b"x-job-expires")
    if value is None:
        return None
    try:
        seconds = durations.seconds(value)
    except ValueError as error:
        raise InvalidField(f"`X-Job-Expires` {error}.", param="X-Job-Expires") from None
    if not 0 < seconds < 10 * 366 * 86400:
        raise InvalidField("`X-Job-Expires` must be a time from now, such as `1h`.", param="X-Job-Expires")
    return time.time() + seconds


def idempotency_key(scope: Scope) -> str | None:
    """The key under which the job is submitted once. Raises InvalidField."""
    key = header(scope, b"idempotency-key")
    if key is not None and not 0 < len(key) <= _MAX_KEY:
        raise InvalidField(f"`Idempotency-Key` must have 1 to {_MAX_KEY} characters.", param="Idempotency-Key")
    return key


def webhook_secret(scope: Scope) -> str | None:
    """The secret that signs the job's webhook. Raises InvalidField."""
    try:
        secret = header(scope, b"x-job-webhook-secret")
        return secret and check_secret(secret)
    except ValueError as error:
        raise InvalidField(f"`X-Job-Webhook-Secret` {error}.", param="X-Job-Webhook-Secret") from None
