"""What embedding engines share: the inputs of several calls go through the model in batches, each call gets its answer.

An engine says how to read an input and how to embed a batch of them. Here, calls fail alone, inputs of similar length
share a batch, cancelled calls cost nothing, and vectors are shortened and encoded as each request asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.arrays import Array, as_base64, as_list
from contract.errors import ContextTooLong, InvalidField, ServeError
from contract.media import MAX_PIXELS, ImageInput
from contract.tasks.embeddings import Embedding, EmbeddingsRequest, EmbeddingsResponse, EmbeddingsUsage
from workers.engine import Call, Output
from workers.toolkit.finite import is_finite, not_finite
from workers.toolkit.image_batches import pixels_in_batch


@dataclass(frozen=True, slots=True)
class Embedded:
    """An input's vector, numpy float32 of shape (dimensions,), and how many tokens of it the model read.

    `is_cut`: the text has more tokens than these.
    """

    vector: Any
    tokens: int
    is_cut: bool = False


@dataclass(eq=False, slots=True)
class EmbeddingInput:
    """One input of a call, as sent; `position` is its place in the request. `prepared` is what `prepare` made of it."""

    job: _EmbeddingJob
    position: int
    content: str | ImageInput
    prepared: Any = None

    def is_cut(self, default: bool) -> bool:
        """Whether a text that is too long is cut: as its request says, or else `default`."""
        wanted = self.job.call.request.truncate
        return default if wanted is None else wanted


@dataclass(eq=False, slots=True)
class _EmbeddingJob:
    """A call and the results of its inputs so far."""

    call: Call[EmbeddingsRequest]
    results: dict[int, Embedded] = field(default_factory=dict)
    error: ServeError | None = None

    @property
    def open(self) -> bool:
        """Whether it still needs work."""
        return self.error is None and len(self.results) < len(self.call.request.inputs) and not self.call.cancelled

    def response(self, model: str) -> EmbeddingsResponse:
        request, results = self.call.request, [self.results[position] for position in sorted(self.results)]
        if cut := [result.tokens for result in results if result.is_cut]:
            self.call.warnings.append(_cut_warning(model, len(cut), max(cut)))
        encode = as_base64 if request.encoding_format == "base64" else as_list
        vectors = (Array.from_numpy(shorten(result.vector, request.dimensions)) for result in results)
        tokens = sum(result.tokens for result in results)
        return EmbeddingsResponse(
            model=model,
            data=[Embedding(index=index, embedding=encode(vector)) for index, vector in enumerate(vectors)],
            usage=EmbeddingsUsage(prompt_tokens=tokens, total_tokens=tokens),
        )


@dataclass(frozen=True, slots=True)
class EmbeddingBatcher:
    """Batches up to `batch_size` inputs. `model` is the name in answers, `dimensions` the length of its vectors."""

    model: str
    dimensions: int
    batch_size: int

    def answer(
        self,
        calls: Sequence[Call[EmbeddingsRequest]],
        check: Callable[[EmbeddingsRequest], None],
        prepare: Callable[[EmbeddingInput], Any],
        embed: Callable[[list[EmbeddingInput]], Sequence[Embedded | ServeError]],
    ) -> Iterator[tuple[Call[EmbeddingsRequest], Output]]:
        """Answer each call as soon as its last input is embedded.

        `check` refuses a whole request and `prepare` a single input, both by raising a ServeError, which is then the
        call's answer. `embed` gets prepared inputs, texts only or images only, and gives a result or an error for each.
        """
        jobs = [_EmbeddingJob(call) for call in calls]
        for job in jobs:
            job.error = self._refusal(job.call.request, check)
        yield from ((job.call, job.error) for job in jobs if job.error)
        for batch in self._batches([job for job in jobs if job.open]):
            inputs = [item for item in batch if item.job.open]
            _run(inputs, prepare, lambda ready: self._checked(ready, embed(ready)))
            for job in dict.fromkeys(item.job for item in inputs):
                job.call.progress(len(job.results), len(job.call.request.inputs))
                if not job.open and not job.call.cancelled:
                    yield job.call, job.error or job.response(self.model)

    def _checked(
        self, inputs: list[EmbeddingInput], results: Sequence[Embedded | ServeError]
    ) -> list[Embedded | ServeError]:
        """The results, with an error for each vector that has NaN or infinity."""
        return [
            result
            if isinstance(result, ServeError) or is_finite(result.vector)
            else not_finite(self.model, "text" if isinstance(item.content, str) else "image", item.position)
            for item, result in zip(inputs, results, strict=True)
        ]

    def _refusal(self, request: EmbeddingsRequest, check: Callable[[EmbeddingsRequest], None]) -> ServeError | None:
        try:
            check(request)
        except ServeError as error:
            return error
        if request.dimensions is None or request.dimensions <= self.dimensions:
            return None
        return InvalidField(
            f"`dimensions` is {request.dimensions}, but vectors of {self.model} have only {self.dimensions}.",
            param="dimensions",
        )

    def _batches(self, jobs: list[_EmbeddingJob]) -> Iterator[list[EmbeddingInput]]:
        """Inputs that go through the model together: first the texts, longest first, then the images."""
        inputs = [
            EmbeddingInput(job, position, content)
            for job in jobs
            for position, content in enumerate(job.call.request.inputs)
        ]
        texts = [item for item in inputs if isinstance(item.content, str)]
        texts.sort(key=lambda item: len(str(item.content)), reverse=True)
        images = [item for item in inputs if not isinstance(item.content, str)]
        for group in (texts, images):
            for start in range(0, len(group), self.batch_size):
                yield group[start : start + self.batch_size]


def _run(
    inputs: list[EmbeddingInput],
    prepare: Callable[[EmbeddingInput], Any],
    embed: Callable[[list[EmbeddingInput]], Sequence[Embedded | ServeError]],
) -> None:
    """Prepare and embed the inputs, in one pass of the model unless they have more than MAX_PIXELS in all."""
    ready: list[EmbeddingInput] = []
    pixels = 0
    for item in inputs:
        try:
            item.prepared = prepare(item)
        except ServeError as error:
            item.job.error = item.job.error or error
            continue
        more = 0 if isinstance(item.content, str) else pixels_in_batch(item.prepared)
        if ready and pixels + more > MAX_PIXELS:
            _embed_ready(ready, embed)
            ready, pixels = [], 0
        ready.append(item)
        pixels += more
    _embed_ready(ready, embed)


def _embed_ready(
    inputs: list[EmbeddingInput], embed: Callable[[list[EmbeddingInput]], Sequence[Embedded | ServeError]]
) -> None:
    """One pass of the model, without inputs of calls that have failed; results and errors go to their jobs."""
    ready = [item for item in inputs if not item.job.error]
    if not ready:
        return
    for item, result in zip(ready, embed(ready), strict=True):
        item.prepared = None  # frees the pixels
        if isinstance(result, ServeError):
            item.job.error = item.job.error or result
        else:
            item.job.results[item.position] = result


def text_too_long(model: str, position: int, tokens: int, limit: int) -> ContextTooLong:
    """The error for a text of more tokens than the model reads."""
    return ContextTooLong(
        f"Text {position} has {tokens} tokens, {tokens - limit} more than the {limit} that {model} reads: shorten or "
        "split it, or send `truncate: true` to have it cut; the model's options may have it too.",
        param="input",
        details={"index": position, "tokens": tokens, "limit": limit},
    )


def _cut_warning(model: str, count: int, limit: int) -> str:
    texts = "1 text was" if count == 1 else f"{count} texts were"
    return f"{texts} cut: {model} reads {limit} tokens. `truncate: false` refuses such texts."


def shorten(vector: Any, dimensions: int | None) -> Any:
    """The first `dimensions` values, scaled to length one again (Matryoshka representations, arXiv:2205.13147)."""
    if dimensions is None or dimensions == len(vector):
        return vector
    head = vector[:dimensions]
    return head / max(float((head * head).sum()) ** 0.5, 1e-12)
