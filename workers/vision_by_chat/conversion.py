"""What it takes to do a vision task by chat: a question about each image, and a response made of the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contract.tasks import Response, Task
from contract.tasks.chat import ChatUsage
from contract.tasks.vision import VisionRequest, VisionUsage


@dataclass(frozen=True, slots=True)
class ImageReply:
    """The model's answer about one image. `item_fields` are the image's index, width and height."""

    item_fields: dict[str, int]
    text: str
    truncated: bool
    usage: ChatUsage | None


@dataclass(frozen=True, slots=True)
class Interview:
    """A request, the model's name, its answer about each image, and the seconds that all of them took."""

    request: VisionRequest
    model: str
    replies: list[ImageReply]
    seconds: float

    @property
    def usage(self) -> VisionUsage:
        return VisionUsage(images=len(self.replies), latency=self.seconds)


@dataclass(frozen=True, slots=True)
class ChatConversion:
    """Turns a task's request into a question for a chat model, and the interview into the task's response."""

    task: Task[Any, Any]
    question: Callable[[Any], str]
    response: Callable[[Interview], Response]
