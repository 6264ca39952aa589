"""Moondream2, a small vision-language model for questions, captions, detection and pointing.

`loading` runs the code that comes with the weights, `conversation` reduces a chat to one question. Nothing heavy is
imported before `load`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import BadRequest, ContextTooLong, InvalidField, ServeError
from contract.image_loading import open_image
from contract.status import ModelFacts
from contract.tasks.caption import CAPTION, CaptionItem, CaptionRequest, CaptionResponse
from contract.tasks.chat import CHAT, ChatChunk, ChatRequest
from contract.tasks.detect import DETECT, Detection, DetectItem, DetectRequest, DetectResponse, PointedAt
from contract.tasks.vision import VisionItem
from workers import engine
from workers.engine import Call, Device, Engine, Joins, Output, serves
from workers.engines.moondream.conversation import question_of
from workers.toolkit.chat.chunks import ChatChunks
from workers.toolkit.chat.detokenizer import StopStrings
from workers.toolkit.finite import is_finite, not_finite
from workers.toolkit.image_batches import BatchImage, ImageBatcher
from workers.toolkit.pretrained import TorchOptions, set_up_torch

if TYPE_CHECKING:
    from workers.engines.moondream.loading import MoondreamModel

T = TypeVar("T")

_DEFAULT_MAX_TOKENS = 768
"""The length limit of an answer when neither the request nor the entry's `defaults` set one, as in the model's code."""
_TEMPLATE_TOKENS = 8
"""The most tokens that the model's own code adds to a question."""


class MoondreamOptions(engine.Options):
    """`threads` is the number of torch's CPU threads (null: torch's default)."""

    threads: int | None = Field(None, ge=1)


class Moondream(Engine):
    """Moondream2, run by its own code: chat about one image, captions, boxes and points for what a prompt names.

    It computes in the precision that its code is written for, one request at a time. Captions are decoded greedily.
    Detections have no score of their own: it is always 1. In a chat the model sees the newest image, and reads earlier
    turns as text.
    """

    extras: ClassVar[tuple[str, ...]] = ("chat", "vision")
    Options: ClassVar[type[engine.Options]] = MoondreamOptions
    features: ClassVar[frozenset[str]] = frozenset({"images", "prompt", "points", "length"})
    model_types: ClassVar[tuple[str, ...]] = ("moondream1",)
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        f"{__name__}.loading",
        "transformers:AutoModelForCausalLM",
        "transformers:PreTrainedModel",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load the model, if its entry trusts the code. Raises LoadFailed."""
        options = MoondreamOptions.model_validate(spec.options)
        set_up_torch(TorchOptions(threads=options.threads))
        from workers.engines.moondream.loading import load

        self._name = spec.id
        self.joins = Joins("the code that comes with the model answers one request at a time")
        self._model: MoondreamModel = load(spec, type(self), device)
        self._batcher = ImageBatcher(spec.id, batch_size=1)

    def facts(self) -> ModelFacts:
        return ModelFacts(context_length=self._model.context)

    @serves(CHAT)
    def chat(self, calls: list[Call[ChatRequest]]) -> Iterator[tuple[Call[ChatRequest], Output]]:
        """Answer the last question of each conversation."""
        for call in calls:
            try:
                for chunk in _until_cancelled(call, self._answer(call.request)):
                    yield call, chunk
            except ServeError as error:
                yield call, error

    def _answer(self, request: ChatRequest) -> Iterator[ChatChunk | None]:
        """Stream all choices of a chat completion, then its usage and None."""
        question = question_of(request)
        if question.image is None and self._model.needs_image:
            raise BadRequest("This model only answers questions about an image: send one with the question.")
        encoded = self._encode(open_image(question.image)) if question.image else None
        prompt_tokens, completion_tokens = self._count_prompt_tokens(encoded, question.text, "messages"), 0
        settings = self._settings(prompt_tokens, request.limit, temperature=request.temperature, top_p=request.top_p)
        chunks = ChatChunks(request.model or self._name)
        for index in range(request.n or 1):
            if request.seed is not None:
                _seed(request.seed + index)
            pieces = self._model.query(encoded, question.text, settings)
            completion_tokens += yield from self._choice(chunks, index, pieces, request.stops, settings["max_tokens"])
        yield chunks.usage(prompt_tokens, completion_tokens)
        yield None

    def _choice(
        self, chunks: ChatChunks, index: int, pieces: Iterator[str], stop: list[str], max_tokens: int
    ) -> Generator[ChatChunk, None, int]:
        """Stream one choice and return its length in tokens, which the model's code does not report."""
        yield chunks.begin(index)
        text, stops = "", StopStrings(stop)
        for piece in pieces:
            text += piece
            yield from chunks.piece(index, stops.push(piece))
            if stops.is_matched:
                break
        yield from chunks.piece(index, stops.flush())
        tokens = min(self._model.count_tokens(text), max_tokens)
        yield chunks.end(index, "length" if tokens == max_tokens and not stops.is_matched else "stop", stops.matched)
        return tokens

    @serves(CAPTION)
    def caption(self, calls: list[Call[CaptionRequest]]) -> Iterator[tuple[Call[CaptionRequest], Output]]:
        """Caption one image after another. A `prompt` is a question about each."""
        yield from self._batcher.answer(calls, _one_by_one(self._caption_image), CaptionResponse, check=_check_caption)

    def _caption_image(self, image: BatchImage[CaptionRequest]) -> CaptionItem:
        request, encoded = image.request, self._encode(image.pil, image.index)
        prompt_tokens = self._count_prompt_tokens(encoded, request.prompt or "", "prompt")
        settings = self._settings(prompt_tokens, request.max_tokens, temperature=0)
        if request.prompt:
            pieces = self._model.query(encoded, request.prompt, settings)
        else:
            pieces = self._model.caption(encoded, request.length or "normal", settings)
        return CaptionItem(**image.item_fields, text="".join(_until_cancelled(image.call, pieces)).strip())

    @serves(DETECT)
    def detect(self, calls: list[Call[DetectRequest]]) -> Iterator[tuple[Call[DetectRequest], Output]]:
        """Look for each label in one image after another."""
        yield from self._batcher.answer(calls, _one_by_one(self._detect_in_image), DetectResponse, check=_check_labels)

    def _detect_in_image(self, image: BatchImage[DetectRequest]) -> DetectItem:
        request, encoded = image.request, self._encode(image.pil, image.index)
        for label in request.labels:
            self._count_prompt_tokens(encoded, label, "prompt")
        item = DetectItem(**image.item_fields, detections=[], points=[] if request.points else None)
        for label in _until_cancelled(image.call, request.labels):
            if item.points is None:
                boxes = self._model.detect(encoded, label, request.max_detections)
                item.detections += [_detection(label, box, image) for box in boxes]
            else:
                points = self._model.point(encoded, label, request.max_detections)
                item.points += [_pointed_at(label, point, image) for point in points]
        item.detections = item.detections[: request.max_detections]
        item.points = item.points[: request.max_detections] if item.points else item.points
        return item

    def _encode(self, image: Any, index: int = 0) -> Any:
        """The encoded image. Raises EngineFailed if the model computes NaN or infinity for it."""
        encoded = self._model.encode(image)
        if not is_finite(list(vars(encoded).values())):
            raise not_finite(self._name, "image", index)
        return encoded

    def _count_prompt_tokens(self, encoded: Any, text: str, param: str) -> int:
        """The length of image and text in tokens. Raises ContextTooLong if they leave no room for an answer."""
        tokens = (encoded.pos if encoded is not None else 0) + self._model.count_tokens(text)
        context = self._model.context
        if tokens + _TEMPLATE_TOKENS >= context:
            raise ContextTooLong(
                f"The image and the question have {tokens} tokens, and the model's context of {context} must also hold "
                "the answer. Shorten the question.",
                param=param,
                details={"prompt_tokens": tokens, "context": context},
            )
        return tokens

    def _settings(self, prompt_tokens: int, max_tokens: int | None, **sampling: float | None) -> dict[str, Any]:
        """Settings for the model's code, which has its own defaults for sampling settings that are None here."""
        available = self._model.context - prompt_tokens - _TEMPLATE_TOKENS
        requested = {name: value for name, value in sampling.items() if value is not None}
        return {"max_tokens": min(max_tokens or _DEFAULT_MAX_TOKENS, available), **requested}


def _until_cancelled(call: Call[Any], steps: Iterable[T]) -> Iterator[T]:
    """The steps, stopping before the next one once the call is cancelled."""
    remaining = iter(steps)
    while not call.cancelled:
        try:
            step = next(remaining)
        except StopIteration:
            return
        yield step


def _one_by_one(
    answer: Callable[[BatchImage[Any]], VisionItem],
) -> Callable[[list[BatchImage[Any]]], list[VisionItem | ServeError]]:
    """A function of one image as ImageBatcher calls it. A ServeError that it raises answers only this image's call."""

    def answer_batch(batch: list[BatchImage[Any]]) -> list[VisionItem | ServeError]:
        [image] = batch
        try:
            return [answer(image)]
        except ServeError as error:
            return [error]

    return answer_batch


def _check_caption(image: BatchImage[CaptionRequest]) -> None:
    """Raise InvalidField for a request with both a question and a caption length."""
    if image.request.prompt and image.request.length:
        raise InvalidField(
            "`length` is only for captions without a prompt. Say in the prompt how long the answer should be.",
            param="length",
        )


def _check_labels(image: BatchImage[DetectRequest]) -> None:
    """Raise InvalidField for a request that names nothing to find."""
    if not image.request.labels:
        raise InvalidField(
            "`prompt` is missing: name what to look for, such as `cat`, or several things as a list.", param="prompt"
        )


def _detection(label: str, box: dict[str, float], image: BatchImage[Any]) -> Detection:
    x0, y0 = _to_pixels(box["x_min"], box["y_min"], image)
    x1, y1 = _to_pixels(box["x_max"], box["y_max"], image)
    return Detection(label=label, score=1.0, box=(x0, y0, x1, y1))


def _pointed_at(label: str, point: dict[str, float], image: BatchImage[Any]) -> PointedAt:
    return PointedAt(label=label, point=_to_pixels(point["x"], point["y"], image))


def _to_pixels(x: float, y: float, image: BatchImage[Any]) -> tuple[float, float]:
    """Fractions of width and height as pixels, clipped to the image."""
    return min(max(x, 0.0), 1.0) * image.width, min(max(y, 0.0), 1.0) * image.height


def _seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed % 2**63)
