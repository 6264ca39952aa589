"""Does vision tasks by chat: a question about each picture, and a response made of the model's answers.

So an engine that chats and sees serves analyze, caption and ocr without a line of its own. The questions go to the
batcher as chat calls, and share the decoding with everybody else's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from contract.errors import ContextTooLong, ServeError
from contract.media import ImageInput
from contract.tasks import Response
from contract.tasks.analyze import ANALYZE, PROMPTS, AnalyzeRequest, AnalyzeResponse
from contract.tasks.caption import CAPTION, CaptionItem, CaptionRequest, CaptionResponse
from contract.tasks.chat import CHAT, ChatRequest, ChatResponse, ChatUsage, ImagePart, ImageUrl, Message, TextPart
from contract.tasks.ocr import OCR, OcrItem, OcrRequest, OcrResponse
from contract.tasks.vision import VisionRequest, VisionUsage
from workers import defaults
from workers.batcher import Batcher, Ticket
from workers.engine import Call, Serves
from workers.toolkit.image_loading import size_of


@dataclass(frozen=True, slots=True)
class Said:
    """What the model said of one picture. `place` is the item's index, and width and height of the picture."""

    place: dict[str, int]
    text: str
    truncated: bool
    usage: ChatUsage | None


@dataclass(frozen=True, slots=True)
class Interview:
    """A request, the model's name, and what it said of each picture."""

    request: VisionRequest
    model: str
    said: list[Said]
    seconds: float

    @property
    def usage(self) -> VisionUsage:
        return VisionUsage(images=len(self.said), latency=self.seconds)


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a task becomes chat: what to ask about a picture, and the response that the answers make."""

    question: Callable[[Any], str]
    response: Callable[[Interview], Response]


def _analyze_question(request: AnalyzeRequest) -> str:
    return request.question


def _analysis(held: Interview) -> AnalyzeResponse:
    assert isinstance(held.request, AnalyzeRequest)
    [one] = held.said
    return AnalyzeResponse(model=held.model, task=held.request.name, text=one.text, usage=one.usage)


def _caption_question(request: CaptionRequest) -> str:
    return request.prompt or PROMPTS["caption"]


def _captions(held: Interview) -> CaptionResponse:
    data = [CaptionItem(**one.place, text=one.text) for one in held.said]
    return CaptionResponse(model=held.model, data=data, usage=held.usage)


def _ocr_question(_: OcrRequest) -> str:
    return PROMPTS["ocr"]


def _readings(held: Interview) -> OcrResponse:
    data = [OcrItem(**one.place, text=one.text, lines=[], truncated=one.truncated) for one in held.said]
    return OcrResponse(model=held.model, data=data, usage=held.usage)


CONVERSIONS = {
    ANALYZE.name: Conversion(_analyze_question, _analysis),
    CAPTION.name: Conversion(_caption_question, _captions),
    OCR.name: Conversion(_ocr_question, _readings),
}
"""By the task's name, one for each of `workers.engine.THROUGH_CHAT`."""


class Interviewer:
    """Asks the chat model of this worker, in the way that its entry's `defaults` say."""

    def __init__(self, batcher: Batcher, model: str, entry_defaults: Mapping[str, Any]) -> None:
        self._batcher = batcher
        self._model = model
        self._entry_defaults = entry_defaults

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        return defaults.for_task(CHAT, self._entry_defaults)

    async def answer(self, serves: Serves, call: Call[Any]) -> Response:
        """The response to a call of a task that is done through chat.

        Raises the error of the first question that fails; the others are cancelled then, as they all are with the
        caller.
        """
        assert serves.through
        started = time.perf_counter()
        request, conversion = call.request, CONVERSIONS[serves.task.name]
        sizes = await asyncio.to_thread(_sizes, request.all_images)
        question = conversion.question(request)
        asked = [self._ask(serves.through, call, picture, question) for picture in request.all_images]
        try:
            replies = await _all(asked)
        except ServeError as error:
            if error.param not in type(request).model_fields:  # but one of chat, which the client has not sent
                too_long = isinstance(error, ContextTooLong) and getattr(request, "prompt", None)
                error.param = "prompt" if too_long else None
            raise
        said = [_said(index, *both) for index, both in enumerate(zip(sizes, replies, strict=True))]
        return conversion.response(Interview(request, self._model, said, time.perf_counter() - started))

    def _ask(self, chat: Serves, call: Call[Any], picture: ImageInput, question: str) -> Ticket:
        parts = [
            ImagePart(type="image_url", image_url=ImageUrl(url=picture)),
            TextPart(type="text", text=question),
        ]
        limit = getattr(call.request, "max_tokens", None)
        request = ChatRequest(messages=[Message(role="user", content=parts)], max_completion_tokens=limit, n=1)
        defaults.fill(request, self._defaults)
        return self._batcher.submit(chat, Call(request, call.id, alone=call.alone))


def _said(index: int, size: tuple[int, int], reply: ChatResponse) -> Said:
    choice = reply.choices[0]
    place = {"index": index, "width": size[0], "height": size[1]}
    return Said(place, (choice.message.content or "").strip(), choice.finish_reason == "length", reply.usage)


def _sizes(pictures: list[ImageInput]) -> list[tuple[int, int]]:
    return [size_of(picture) for picture in pictures]


async def _all(asked: list[Ticket]) -> list[ChatResponse]:
    """Every answer, in order. However this ends, nothing of what was asked is worked on any longer."""
    try:
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(ticket.whole()) for ticket in asked]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    finally:
        for ticket in asked:
            ticket.call.cancel()
    return [task.result() for task in waiting]  # type: ignore[misc]
