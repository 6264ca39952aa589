"""Completes a request that needs another model's response first: a segmenter needs the boxes of a detector."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from contract.errors import BadImage, ContextTooLong, InvalidField, ServeError
from contract.tasks import Request, Task
from contract.validation import invalid_request

Ask = Callable[[Task[Any, Any], Request], Awaitable[bytes]]
"""Sends a task's request and returns the body of its response. Raises ServeError."""


async def apply_prerequisite(request: Request, ask: Ask) -> bool:
    """Put the response to the request's prerequisite into it; False if it has none.

    Raises the prerequisite's error. Its `param` names the wrong field of the client's request or, if no field is
    wrong, the field that names the other model.
    """
    try:
        prerequisite = request.prerequisite()
    except ValidationError as error:
        raise invalid_request(error) from None
    if prerequisite is None:
        return False
    try:
        body = await ask(prerequisite.task, prerequisite.request)
        request.apply_prerequisite(prerequisite.task.response.model_validate_json(body))
    except (BadImage, ContextTooLong, InvalidField):
        raise  # already names a field that the client sent
    except ServeError as error:
        error.param = prerequisite.field
        raise
    return True
