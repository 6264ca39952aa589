"""Asks another model first, where a request needs that one's answer: boxes of a detector for masks of a segmenter."""

from __future__ import annotations

import asyncio
import json

from pydantic import ValidationError
from starlette.types import Message

from contract.errors import BadImage, ContextTooLong, InvalidField, ServeError, from_envelope
from contract.tasks import Request, invalid_request
from gateway.forwarding.forward import ForwardedRequest, forward
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_table import ModelTable


async def ask_first(manager: ManagerClient, catalog: ModelTable, request: Request, request_id: str) -> bool:
    """Put into the request what another model must say before; False if it needs nothing of that kind.

    Raises what that model's request is refused with: of the field that is wrong, or else the one that asked for it.
    """
    try:
        needed = request.prerequisite()
    except ValidationError as error:
        raise invalid_request(error) from None
    if needed is None:
        return False
    task, asked, field = needed
    try:
        model = catalog.choose(task.name, asked.model)
        catalog.check_features(task.name, model, asked)
        heard = _Heard()
        body = await asyncio.to_thread(asked.__pydantic_serializer__.to_json, asked, exclude_unset=True)
        call = ForwardedRequest(
            url=manager.remember(task.path),
            model=model.id,
            body=body,
            max_wait=model.max_wait,
            request_id=request_id,
            headers=[("content-type", "application/json")],
        )
        await forward(manager, call, heard)
        request.apply_prerequisite(task.response.model_validate_json(heard.answer()))
    except (BadImage, ContextTooLong, InvalidField):
        raise  # of a field that the client has sent
    except ServeError as error:
        error.param = field
        raise
    return True


class _Heard:
    """Takes an answer in the client's place."""

    def __init__(self) -> None:
        self._status = 0
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        self._status = message.get("status", self._status)
        self._body += message.get("body", b"")

    def answer(self) -> bytes:
        """The whole body. Raises the error in it."""
        if self._status != 200:
            raise from_envelope(json.loads(self._body))
        return bytes(self._body)
