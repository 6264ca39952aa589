"""Every error that a client can see, with its HTTP status, its code and the error envelope.

    ServeError                                   status  code
    ├── BadRequest                               400     invalid_request
    │   ├── InvalidField                         400     invalid_field       (names `param`)
    │   ├── BadImage                             400     invalid_image
    │   ├── ContextTooLong                       400     context_length_exceeded
    │   ├── UnsupportedTask                      400     unsupported_task
    │   └── UnsupportedFeature                   400     unsupported_feature (names `param`)
    ├── Unauthorized                             401     invalid_api_key
    ├── Forbidden                                403     forbidden
    │   └── RobotsDisallow                       403     robots_disallow     (the site's robots.txt)
    ├── NotFound                                 404     not_found
    │   └── ModelNotFound                        404     model_not_found
    ├── MethodNotAllowed                         405     method_not_allowed
    ├── IdempotencyConflict                      409     idempotency_conflict (the key belongs to another request)
    ├── ModelConflict                            409     model_conflict      (it exists, is in use, or shares files)
    ├── KeyConflict                              409     key_conflict        (it exists, or no key could administer)
    ├── ConfigurationChanged                     412     configuration_changed (since the editor has read it)
    ├── NotAcceptable                            406     not_acceptable      (no such representation)
    ├── UnsupportedMedia                         415     unsupported_media_type
    ├── RequestTimedOut                          408     request_timeout     (head or body arrive too slowly)
    ├── HeadTooLarge                             431     headers_too_large
    ├── TooLarge                                 413     body_too_large
    ├── TooManyRequests                          429     rate_limit_exceeded
    ├── EngineFailed                             500     inference_failed
    │   └── KilledWorkers                        500     request_killed_workers
    ├── WorkerDied                               502     worker_died         (`details.began`: were bytes sent?)
    ├── PageNotFetched                           502     page_not_fetched    (a web site did not answer as it should)
    ├── Unavailable                              503     unavailable         (retry later: Retry-After)
    │   ├── QueueFull                            503     queue_full
    │   ├── LoadFailed                           503     model_load_failed   (`details.permanent`: do not retry)
    │   │   └── DownloadFailed                   503     download_failed
    │   │       ├── FileDamaged                  503     file_damaged        (names the file)
    │   │       ├── HubStalled                   503     hub_stalled
    │   │       ├── ModelGated                   403     model_gated         (its terms, or a token, are missing)
    │   │       └── DiskFull                     507     insufficient_storage (do not retry)
    │   ├── Downloading                          503     model_downloading   (`details`: how far it is)
    │   ├── NotDownloaded                        503     model_not_downloaded (do not retry)
    │   ├── OutOfMemory                          503     out_of_memory
    │   ├── NeverFits                            503     never_fits          (do not retry)
    │   ├── ManagerUnreachable                   503     manager_unreachable
    │   ├── TooManyConnections                   503     too_many_connections
    │   ├── BodyMemoryFull                       503     body_memory_full    (the bodies of all requests together)
    │   ├── Evicted                              503     evicted             (its worker was ended before it was done)
    │   └── ShuttingDown                         503     shutting_down
    └── DeadlinePassed                           504     deadline_passed

The envelope is `{"error": {message, type, code, param, request_id, details}}`: OpenAI's and the last two.
"""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar


class ServeError(Exception):
    """An error with a status, a code for programs, and a message for people: what is wrong and what to do.

    `param` names the request's wrong field, `details` holds values for programs, `retry_after` is in seconds.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "server_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.details = details or {}
        self.retry_after = retry_after

    def envelope(self, request_id: str | None = None) -> dict[str, Any]:
        """The JSON body of the error response."""
        known = {"message": self.message, "type": self.type, "code": self.code, "param": self.param}
        return {"error": {**known, "request_id": request_id, "details": self.details}}

    def body(self, request_id: str | None = None) -> bytes:
        """The envelope as JSON bytes."""
        return json.dumps(self.envelope(request_id), ensure_ascii=False).encode()

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that say whether and when to retry."""
        return {} if self.retry_after is None else {"retry-after": str(max(1, math.ceil(self.retry_after)))}


class BadRequest(ServeError):
    status, code, type = 400, "invalid_request", "invalid_request_error"


class InvalidField(BadRequest):
    code = "invalid_field"


class BadImage(BadRequest):
    code = "invalid_image"
    image: object = None  # the ImageInput that is bad: code that has the request sets `param` to its path


class ContextTooLong(BadRequest):
    code = "context_length_exceeded"


class UnsupportedTask(BadRequest):
    code = "unsupported_task"


class UnsupportedFeature(BadRequest):
    code = "unsupported_feature"


class Unauthorized(ServeError):
    status, code, type = 401, "invalid_api_key", "authentication_error"

    @property
    def headers(self) -> dict[str, str]:
        return {"www-authenticate": "Bearer"}


class Forbidden(ServeError):
    status, code, type = 403, "forbidden", "permission_error"


class RobotsDisallow(Forbidden):
    code = "robots_disallow"


class NotFound(ServeError):
    status, code, type = 404, "not_found", "invalid_request_error"


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(ServeError):
    status, code, type = 405, "method_not_allowed", "invalid_request_error"


class IdempotencyConflict(ServeError):
    status, code, type = 409, "idempotency_conflict", "invalid_request_error"


class ModelConflict(ServeError):
    status, code, type = 409, "model_conflict", "invalid_request_error"


class KeyConflict(ServeError):
    status, code, type = 409, "key_conflict", "invalid_request_error"


class ConfigurationChanged(ServeError):
    status, code, type = 412, "configuration_changed", "invalid_request_error"


class NotAcceptable(ServeError):
    status, code, type = 406, "not_acceptable", "invalid_request_error"


class TooLarge(ServeError):
    status, code, type = 413, "body_too_large", "invalid_request_error"


class UnsupportedMedia(ServeError):
    status, code, type = 415, "unsupported_media_type", "invalid_request_error"


class RequestTimedOut(ServeError):
    status, code, type = 408, "request_timeout", "invalid_request_error"


class HeadTooLarge(ServeError):
    status, code, type = 431, "headers_too_large", "invalid_request_error"


class TooManyRequests(ServeError):
    status, code, type = 429, "rate_limit_exceeded", "rate_limit_error"


class EngineFailed(ServeError):
    status, code = 500, "inference_failed"


class KilledWorkers(EngineFailed):
    code = "request_killed_workers"


class WorkerDied(ServeError):
    status, code = 502, "worker_died"


class PageNotFetched(ServeError):
    status, code = 502, "page_not_fetched"


class Unavailable(ServeError):
    status, code, type = 503, "unavailable", "service_unavailable_error"
    always_lasts: ClassVar[bool] = False  # no attempt can succeed before something is put right, as `details` may say

    @property
    def is_permanent(self) -> bool:
        return self.always_lasts or bool(self.details.get("permanent"))

    @property
    def headers(self) -> dict[str, str]:
        return {"x-should-retry": "false"} if self.is_permanent else super().headers


class QueueFull(Unavailable):
    code = "queue_full"


class LoadFailed(Unavailable):
    code = "model_load_failed"


class DownloadFailed(LoadFailed):
    code = "download_failed"


class FileDamaged(DownloadFailed):
    code = "file_damaged"


class HubStalled(DownloadFailed):
    code = "hub_stalled"


class ModelGated(DownloadFailed):
    status, code, type, always_lasts = 403, "model_gated", "permission_error", True


class DiskFull(DownloadFailed):
    status, code, always_lasts = 507, "insufficient_storage", True


class Downloading(Unavailable):
    code = "model_downloading"


class OutOfMemory(Unavailable):
    code = "out_of_memory"


class NeverFits(Unavailable):
    code, always_lasts = "never_fits", True


class NotDownloaded(Unavailable):
    code, always_lasts = "model_not_downloaded", True


class ManagerUnreachable(Unavailable):
    code = "manager_unreachable"


class TooManyConnections(Unavailable):
    code = "too_many_connections"


class BodyMemoryFull(Unavailable):
    code = "body_memory_full"


class Evicted(Unavailable):
    code = "evicted"


class ShuttingDown(Unavailable):
    code = "shutting_down"


class DeadlinePassed(ServeError):
    status, code, type = 504, "deadline_passed", "timeout_error"


def _tree(root: type[ServeError]) -> dict[str, type[ServeError]]:
    return {root.code: root} | {k: v for sub in root.__subclasses__() for k, v in _tree(sub).items()}


BY_CODE = _tree(ServeError)  # error classes by code


def from_envelope(envelope: dict[str, Any], retry_after: str | None = None) -> ServeError:
    """Recreate the error from the envelope that another of our programs sent, and from its header `Retry-After`."""
    error = envelope["error"]
    kind, details = BY_CODE.get(error.get("code"), ServeError), error.get("details") or {}
    seconds = details.get("retry_after", float(retry_after) if retry_after and retry_after.isdigit() else None)
    return kind(error["message"], param=error.get("param"), details=details, retry_after=seconds)
