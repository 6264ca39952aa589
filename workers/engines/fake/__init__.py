"""A fake model for tests, demos and benchmarks: instant deterministic answers, and every fault of a model by option."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

from contract.config import ModelSpec
from contract.errors import BadImage
from contract.media import images_in
from contract.status import ModelFacts
from contract.tasks.chat import CHAT, ChatChunk, ChatRequest, ChatUsage, ChunkChoice, Delta, TextPart
from contract.tasks.completions import COMPLETIONS, CompletionRequest, CompletionResponse
from contract.tasks.embeddings import (
    EMBEDDINGS,
    Embedding,
    EmbeddingsRequest,
    EmbeddingsResponse,
    EmbeddingsUsage,
)
from contract.tasks.image_generation import (
    IMAGE_GENERATION,
    Image,
    ImageGenerationRequest,
    ImageGenerationResponse,
    ImageUsage,
)
from contract.tasks.ocr import OCR, OcrItem, OcrLine, OcrRequest, OcrResponse
from contract.tasks.rerank import RERANK, RerankRequest
from contract.tasks.vision import VisionUsage
from workers.engine import Call, Device, Engine, Joins, Options, Output, serves
from workers.engines.fake.completing import completion_chunks
from workers.engines.fake.drawing import png
from workers.engines.fake.faults import FakeOptions, Faults
from workers.engines.fake.ranking import word_scores
from workers.engines.fake.words import count, words_of

Calls = list[Call[Any]]
Answers = Iterator[tuple[Call[Any], Output]]


class Fake(Engine):
    """Answers without a model, deterministically, and fails as its options say."""

    Options: ClassVar[type[Options]] = FakeOptions
    features: ClassVar[frozenset[str]] = frozenset({"images", "languages"})
    devices: ClassVar[tuple[str, ...]] = ("cuda", "mps", "mlx", "cpu")
    needs_source: ClassVar[bool] = False

    def load(self, spec: ModelSpec, device: Device) -> None:  # noqa: ARG002 - it runs anywhere
        """Load nothing, with the faults that the options ask for."""
        self._options = FakeOptions.model_validate(spec.options)
        self._name = spec.id
        self.joins = Joins("newcomers wait for the batch before them")
        self._faults = Faults(self._options)
        self._faults.at_load()

    def facts(self) -> ModelFacts:
        """The length of the vectors, and a context that nothing fills."""
        return ModelFacts(context_length=self._options.context, dimensions=self._options.dimensions)

    def loaded_features(self) -> frozenset[str]:
        """The features except those that the option `lacks` removes."""
        return self.features - self._options.lacks

    def close(self) -> None:
        """Return, or never, as the options say."""
        self._faults.at_close()

    @serves(CHAT, max_batch=64)
    def chat(self, calls: Calls) -> Answers:
        """Repeat the last message, one word per step, all calls of the batch in turn."""
        yield from self._streams(calls, {id(call): self._chunks(call.request, len(calls)) for call in calls})

    @serves(COMPLETIONS, max_batch=64)
    def complete(self, calls: Calls) -> Answers:
        """Repeat each prompt, one word per step."""
        yield from self._streams(calls, {id(call): completion_chunks(call.request, self._name) for call in calls})

    def _streams(self, calls: Calls, streams: dict[int, Iterator[Any]]) -> Answers:
        self._faults.at_start(calls, _prompt)
        active, steps = list(calls), 0
        while active:
            self._faults.step(active, steps)
            steps += 1
            self.meter.step(len(active))
            for call in self._uncancelled(active):
                answer = self._faults.failure(_prompt(call.request)) or next(streams[id(call)], None)
                if not isinstance(answer, ChatChunk | CompletionResponse):
                    active.remove(call)
                yield call, answer
            active = [call for call in active if not call.cancelled]
            self._faults.mid_answer()

    @serves(EMBEDDINGS, max_batch=64)
    def embed(self, calls: Calls) -> Answers:
        """A vector of length one, computed from each text's hash."""
        self._faults.at_start(calls, _prompt)
        for call in self._uncancelled(calls):
            self._faults.mid_answer()
            yield call, self._faults.failure(_prompt(call.request)) or self._embedded(call.request, len(calls))

    @serves(RERANK, max_batch=64)
    def rerank(self, calls: Calls) -> Answers:
        """Each document's score is the share of the query's words in it."""
        self._faults.at_start(calls, _prompt)
        for call in self._uncancelled(calls):
            self._faults.mid_answer()
            failure = self._faults.failure(_prompt(call.request))
            yield call, failure or word_scores(call.request, self._name, len(calls))

    @serves(OCR, max_batch=8)
    def read(self, calls: Calls) -> Answers:
        """One line of text per image: its checksum."""
        self._faults.at_start(calls, _prompt)
        for call in self._uncancelled(calls):
            self._faults.mid_answer()
            try:
                yield call, self._read(call.request, len(calls))
            except BadImage as error:
                yield call, error

    @serves(IMAGE_GENERATION, max_batch=4, group=lambda request: (request.size, request.steps))
    def draw(self, calls: Calls) -> Answers:
        """Images of a single colour, computed from prompt and seed."""
        self._faults.at_start(calls, _prompt)
        steps = calls[0].request.steps or 4
        for step in range(steps):
            self._faults.step(calls, step)
            for call in self._uncancelled(calls):
                call.progress(step + 1, steps)
        for call in self._uncancelled(calls):
            self._faults.mid_answer()
            yield call, self._faults.failure(_prompt(call.request)) or self._drawn(call.request, len(calls))

    def _uncancelled(self, calls: Calls) -> Calls:
        return [call for call in calls if not self._faults.cancelled(call)]

    def _chunks(self, request: ChatRequest, batch: int) -> Iterator[ChatChunk]:
        words, reason, stop = _words(request)
        name, created = f"chatcmpl-{_digest(_prompt(request)).hex()[:16]}", int(time.time())

        def chunk(choices: list[ChunkChoice], usage: ChatUsage | None = None) -> ChatChunk:
            extra = {"batch": batch}
            return ChatChunk(id=name, created=created, model=self._name, choices=choices, usage=usage, **extra)

        choices = range(request.n or 1)
        for number, word in enumerate(words):
            role = None if number else "assistant"
            yield chunk([ChunkChoice(index=index, delta=Delta(role=role, content=word)) for index in choices])
        ends = {"finish_reason": reason, "stop_reason": stop}
        yield chunk([ChunkChoice(index=index, delta=Delta(), **ends) for index in choices])
        read, written = _words_read(request), len(words) * len(choices)
        yield chunk([], ChatUsage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written))

    def _embedded(self, request: EmbeddingsRequest, batch: int) -> EmbeddingsResponse:
        size = request.dimensions or self._options.dimensions
        vectors = [_vector(text, size) for text in request.texts]
        as_text = request.encoding_format == "base64"
        data = [Embedding(index=n, embedding=_base64(v) if as_text else v) for n, v in enumerate(vectors)]
        tokens = sum(count(text) for text in request.texts)
        usage = EmbeddingsUsage(prompt_tokens=tokens, total_tokens=tokens)
        return EmbeddingsResponse(model=self._name, data=data, usage=usage, batch=batch)

    def _read(self, request: OcrRequest, batch: int) -> OcrResponse:
        started = time.perf_counter()
        items = [self._item(index, image.read()) for index, image in enumerate(request.all_images)]
        usage = VisionUsage(images=len(items), latency=time.perf_counter() - started)
        return OcrResponse(model=self._name, data=items, usage=usage, batch=batch)

    def _item(self, index: int, content: bytes) -> OcrItem:
        text = _digest(content.hex()).hex()[:8]
        line = OcrLine(text=text, score=1.0, polygon=[(0, 0), (1, 0), (1, 1), (0, 1)])
        return OcrItem(index=index, width=1, height=1, text=text, lines=[line])

    def _drawn(self, request: ImageGenerationRequest, batch: int) -> ImageGenerationResponse:
        started = time.perf_counter()
        width, height = request.pixels or (64, 64)
        seeds = [(request.seed or 0) + number for number in range(request.n)]
        files = [png(width, height, _colour(f"{request.prompt} {seed}")) for seed in seeds]
        data = [
            Image(b64_json=base64.b64encode(file).decode(), revised_prompt=request.prompt or None, seed=seed)
            for file, seed in zip(files, seeds, strict=True)
        ]
        usage = ImageUsage(latency=time.perf_counter() - started, seed=seeds[0])
        size = f"{width}x{height}"
        return ImageGenerationResponse(created=int(time.time()), data=data, size=size, usage=usage, batch=batch)


def _prompt(request: Any) -> str:
    """The text of a request, whatever its task."""
    if isinstance(request, ChatRequest):
        last = request.messages[-1]
        images = sum(1 for _ in images_in(request))
        text = " ".join(part.text for part in last.parts if isinstance(part, TextPart))
        return f"{text} ({images} images)" if images else text
    if isinstance(request, CompletionRequest):
        return "\n".join(str(prompt) for prompt in request.prompts)
    if isinstance(request, EmbeddingsRequest):
        return "\n".join(request.texts)
    if isinstance(request, RerankRequest):
        return "\n".join([request.query, *request.texts])
    return str(getattr(request, "prompt", ""))


def _words_read(request: ChatRequest) -> int:
    """The words of all messages."""
    parts = (part for message in request.messages for part in message.parts)
    return sum(count(part.text) for part in parts if isinstance(part, TextPart))


def _words(request: ChatRequest) -> tuple[list[str], str, str | None]:
    """The answer's words, its finish reason, and the stop sequence that ended it."""
    text, matched = _prompt(request), None
    for stop in request.stops:
        text, mark, _ = text.partition(stop)
        matched = mark or matched
    first = islice(words_of(text), request.limit + 1 if request.limit else None)
    pieces = [word if number == 0 else f" {word}" for number, word in enumerate(first)]
    limit = request.limit or len(pieces)
    return (pieces[:limit], "length", None) if limit < len(pieces) else (pieces, "stop", matched)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _vector(text: str, size: int) -> list[float]:
    numbers = [byte - 127.5 for n in range(-(-size // 32)) for byte in _digest(f"{n} {text}")][:size]
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _colour(text: str) -> tuple[int, int, int]:
    red, green, blue = _digest(text)[:3]
    return red, green, blue
