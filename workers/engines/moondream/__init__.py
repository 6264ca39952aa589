"""Moondream2, a small model that looks at a picture and answers, describes, finds and points.

`loading` runs the code that comes with its weights, `conversation` makes one question of a chat. Nothing heavy is
imported before `load`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import BadRequest, ContextTooLong, InvalidField, ServeError
from contract.tasks.caption import CAPTION, CaptionItem, CaptionRequest, CaptionResponse
from contract.tasks.chat import CHAT, ChatChunk, ChatRequest
from contract.tasks.detect import DETECT, Detection, DetectItem, DetectRequest, DetectResponse, PointedAt
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.engines.moondream.conversation import question_of
from workers.toolkit.chat.reply import ChatChunks
from workers.toolkit.chat.text import Stops
from workers.toolkit.image_batches import BatchImage, ImageBatcher
from workers.toolkit.image_loading import open_image
from workers.toolkit.pretrained import TorchOptions, set_up_torch

if TYPE_CHECKING:
    from workers.engines.moondream.loading import Skills

T = TypeVar("T")

_LONGEST = 768
"""Tokens of an answer for which neither the request nor the entry's `defaults` have a bound, as in the model's code."""
_TEMPLATE = 8
"""Tokens that the model's own code may put around a question."""


class MoondreamOptions(engine.Options):
    """`threads` are torch's on a CPU (null: torch's own)."""

    threads: int | None = Field(None, ge=1)


class Moondream(Engine):
    """Moondream2 by the code of its own: chat about one picture, captions, boxes and points for what a text names.

    It computes in the precision that its code is written for, and one request at a time. Captions are greedy. What it
    finds has no score: each is 1. In a chat it sees the newest picture, and reads what was said before as text.
    """

    Options: ClassVar[type[engine.Options]] = MoondreamOptions
    features: ClassVar[frozenset[str]] = frozenset({"images", "prompt", "points", "length"})
    model_types: ClassVar[tuple[str, ...]] = ("moondream1",)
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        f"{__name__}.loading",
        "transformers:AutoModelForCausalLM",
        "transformers:PreTrainedModel",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load the model, if its entry trusts its code. Raises LoadFailed."""
        options = MoondreamOptions.model_validate(spec.options)
        set_up_torch(TorchOptions(threads=options.threads))
        from workers.engines.moondream.loading import load

        self._name = spec.id
        self._skills: Skills = load(spec, type(self), device)
        self._pictures = ImageBatcher(spec.id, batch_size=1)

    @serves(CHAT)
    def chat(self, calls: list[Call[ChatRequest]]) -> Iterator[tuple[Call[ChatRequest], Output]]:
        """Answer the last question of each conversation."""
        for call in calls:
            try:
                for chunk in _while_wanted(call, self._reply(call)):
                    yield call, chunk
            except ServeError as error:
                yield call, error

    def _reply(self, call: Call[ChatRequest]) -> Iterator[ChatChunk | None]:
        request = call.request
        question = question_of(request)
        if question.picture is None and self._skills.needs_picture:
            raise BadRequest("This model answers questions about a picture: send one beside the question.")
        picture = self._skills.encode(open_image(question.picture)) if question.picture else None
        read, written = self._read(picture, question.text, "messages"), 0
        settings = self._settings(read, request.limit, temperature=request.temperature, top_p=request.top_p)
        reply = ChatChunks(request.model or self._name)
        for index in range(request.n or 1):
            if request.seed is not None:
                _seed(request.seed + index)
            pieces = self._skills.query(picture, question.text, settings)
            written += yield from self._choice(reply, index, pieces, request.stops, settings["max_tokens"])
        yield reply.usage(read, written)
        yield None

    def _choice(
        self, reply: ChatChunks, index: int, pieces: Iterator[str], stop: list[str], limit: int
    ) -> Generator[ChatChunk, None, int]:
        """The chunks of one answer. Gives how many tokens it has: as its text has, since its code does not tell."""
        yield reply.begin(index)
        text, stops = "", Stops(stop)
        for piece in pieces:
            text += piece
            yield from reply.piece(index, stops.push(piece))
            if stops.found:
                break
        yield from reply.piece(index, stops.flush())
        tokens = min(self._skills.count(text), limit)
        yield reply.end(index, "length" if tokens == limit and not stops.found else "stop")
        return tokens

    @serves(CAPTION)
    def caption(self, calls: list[Call[CaptionRequest]]) -> Iterator[tuple[Call[CaptionRequest], Output]]:
        """Caption picture after picture; `prompt` is a question about each."""
        yield from self._pictures.answer(calls, self._write, CaptionResponse, check=_one_wish)

    def _write(self, pictures: list[BatchImage[CaptionRequest]]) -> list[CaptionItem | ServeError]:
        [picture] = pictures
        request, seen = picture.request, self._skills.encode(picture.pil)
        try:
            read = self._read(seen, request.prompt or "", "prompt")
        except ServeError as error:
            return [error]
        settings = self._settings(read, request.max_tokens, temperature=0)
        if request.prompt:
            pieces = self._skills.query(seen, request.prompt, settings)
        else:
            pieces = self._skills.caption(seen, request.length or "normal", settings)
        return [CaptionItem(**picture.item_fields, text="".join(_while_wanted(picture.call, pieces)).strip())]

    @serves(DETECT)
    def detect(self, calls: list[Call[DetectRequest]]) -> Iterator[tuple[Call[DetectRequest], Output]]:
        """Look for each label in picture after picture."""
        yield from self._pictures.answer(calls, self._find, DetectResponse, check=_something_to_find)

    def _find(self, pictures: list[BatchImage[DetectRequest]]) -> list[DetectItem | ServeError]:
        [picture] = pictures
        request, seen = picture.request, self._skills.encode(picture.pil)
        try:
            for label in request.labels:
                self._read(seen, label, "prompt")
        except ServeError as error:
            return [error]
        item = DetectItem(**picture.item_fields, detections=[], points=[] if request.points else None)
        for label in _while_wanted(picture.call, request.labels):
            if item.points is None:
                boxes = self._skills.detect(seen, label, request.max_detections)
                item.detections += [_detection(label, box, picture) for box in boxes]
            else:
                points = self._skills.point(seen, label, request.max_detections)
                item.points += [_pointed_at(label, point, picture) for point in points]
        item.detections = item.detections[: request.max_detections]
        item.points = item.points[: request.max_detections] if item.points else item.points
        return [item]

    def _read(self, picture: Any, text: str, param: str) -> int:
        """How many tokens picture and question take. Raises ContextTooLong if none is left for the answer."""
        tokens = (picture.pos if picture is not None else 0) + self._skills.count(text)
        if tokens + _TEMPLATE >= (context := self._skills.context):
            raise ContextTooLong(
                f"The picture and the question have {tokens} tokens, and the model's context of {context} must hold "
                "the answer as well. Shorten the question.",
                param=param,
                details={"prompt_tokens": tokens, "context": context},
            )
        return tokens

    def _settings(self, read: int, asked: int | None, **wanted: float | None) -> dict[str, Any]:
        """For the model's code: what is left out there is as its authors chose it."""
        left = self._skills.context - read - _TEMPLATE
        given = {name: value for name, value in wanted.items() if value is not None}
        return {"max_tokens": min(asked or _LONGEST, left), **given}


def _while_wanted(call: Call[Any], steps: Iterable[T]) -> Iterator[T]:
    """The steps, none of which is taken once the client has left."""
    remaining = iter(steps)
    while not call.cancelled:
        try:
            step = next(remaining)
        except StopIteration:
            return
        yield step


def _one_wish(picture: BatchImage[CaptionRequest]) -> None:
    if picture.request.prompt and picture.request.length:
        raise InvalidField(
            "`length` is for captions in the model's own words; say in the prompt how long its answer is to be.",
            param="length",
        )


def _something_to_find(picture: BatchImage[DetectRequest]) -> None:
    if not picture.request.labels:
        raise InvalidField(
            "`prompt` is missing: name what is to be found, such as `cat`, or several as a list.", param="prompt"
        )


def _detection(label: str, box: dict[str, float], picture: BatchImage[Any]) -> Detection:
    x0, y0 = _pixels(box["x_min"], box["y_min"], picture)
    x1, y1 = _pixels(box["x_max"], box["y_max"], picture)
    return Detection(label=label, score=1.0, box=(x0, y0, x1, y1))


def _pointed_at(label: str, point: dict[str, float], picture: BatchImage[Any]) -> PointedAt:
    return PointedAt(label=label, point=_pixels(point["x"], point["y"], picture))


def _pixels(x: float, y: float, picture: BatchImage[Any]) -> tuple[float, float]:
    """Shares of width and height in pixels, within the picture."""
    return min(max(x, 0.0), 1.0) * picture.width, min(max(y, 0.0), 1.0) * picture.height


def _seed(number: int) -> None:
    import torch

    torch.manual_seed(number % 2**63)
