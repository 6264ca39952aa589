"""Does vision tasks by chat: asks the model a question about each image and makes a response of its answers.

An engine that chats and sees so serves the tasks in `workers.vision_by_chat` without code of its own. The questions go
to the batcher as chat calls and are decoded together with all other chat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from contract.errors import ContextTooLong, ServeError
from contract.image_loading import image_size
from contract.media import ImageInput
from contract.tasks import Response
from contract.tasks.chat import CHAT, ChatRequest, ChatResponse, ImagePart, ImageUrl, Message, TextPart
from workers import defaults
from workers.batcher import Batcher
from workers.engine import Call, ServedTask
from workers.tickets import Ticket
from workers.vision_by_chat import conversions
from workers.vision_by_chat.conversion import ImageReply, Interview


class Interviewer:
    """Asks the chat model of this worker, with the chat parameters of its entry's `defaults`."""

    def __init__(self, batcher: Batcher, model: str, entry_defaults: Mapping[str, Any]) -> None:
        self._batcher = batcher
        self._model = model
        self._entry_defaults = entry_defaults

    @cached_property
    def _chat_defaults(self) -> dict[str, Any]:
        return defaults.for_task(CHAT, self._entry_defaults)

    async def answer(self, served: ServedTask, call: Call[Any]) -> Response:
        """The response to a call of a task that is served via chat.

        Raises the error of the first question that fails. The other questions are then cancelled, as all are when the
        caller is.
        """
        assert served.via_chat
        started = time.perf_counter()
        request, conversion = call.request, conversions()[served.task.name]
        sizes = await asyncio.to_thread(_image_sizes, request.all_images)
        question = conversion.question(request)
        tickets = [self._ask(served.via_chat, call, image, question) for image in request.all_images]
        try:
            responses = await _gather(tickets)
        except ServeError as error:
            if error.param not in type(request).model_fields:  # a field of chat, which the client did not send
                too_long = isinstance(error, ContextTooLong) and getattr(request, "prompt", None)
                error.param = "prompt" if too_long else None
            raise
        replies = [_reply(index, *pair) for index, pair in enumerate(zip(sizes, responses, strict=True))]
        return conversion.response(Interview(request, self._model, replies, time.perf_counter() - started))

    def _ask(self, chat: ServedTask, call: Call[Any], image: ImageInput, question: str) -> Ticket:
        parts = [
            ImagePart(type="image_url", image_url=ImageUrl(url=image)),
            TextPart(type="text", text=question),
        ]
        limit = getattr(call.request, "max_tokens", None)
        request = ChatRequest(messages=[Message(role="user", content=parts)], max_completion_tokens=limit, n=1)
        defaults.fill(request, self._chat_defaults)
        return self._batcher.submit(chat, Call(request, call.id, alone=call.alone))


def _reply(index: int, size: tuple[int, int], response: ChatResponse) -> ImageReply:
    choice = response.choices[0]
    text = (choice.message.content or "").strip()
    item_fields = {"index": index, "width": size[0], "height": size[1]}
    return ImageReply(item_fields, text, choice.finish_reason == "length", response.usage)


def _image_sizes(images: list[ImageInput]) -> list[tuple[int, int]]:
    return [image_size(image) for image in images]


async def _gather(tickets: list[Ticket]) -> list[ChatResponse]:
    """Every answer, in order. However this ends, no question stays at work afterwards."""
    try:
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(ticket.whole()) for ticket in tickets]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for ticket in tickets:
            ticket.call.cancel()
    return [answer.result() for answer in answers]  # type: ignore[misc]
