"""What embedding engines share: batches across calls, calls that fail alone, and vectors in the requested form."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.errors import ContextTooLong, EngineFailed, InvalidField, ServeError
from contract.image_loading import open_image
from contract.tasks.embeddings import EmbeddingsRequest, EmbeddingsResponse
from tests.support.odd_images import encoded
from workers.engine import Call, Output
from workers.toolkit import embedding
from workers.toolkit.embedding import Embedded, EmbeddingBatcher, EmbeddingInput, text_too_long

BATCHER = EmbeddingBatcher("model", dimensions=4, batch_size=2)


class Model:
    """Embeds a text as (length, 1, 2, 3). A text with "?" cannot be read, one with "!" fails in the model."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []

    def check(self, request: EmbeddingsRequest) -> None:
        if request.user == "refused":
            raise InvalidField("refused", param="user")

    def prepare(self, item: EmbeddingInput) -> Any:
        if "?" in str(item.content):
            raise text_too_long("model", item.position, 9, 8)
        return item.content

    def embed(self, inputs: list[EmbeddingInput]) -> Sequence[Embedded | ServeError]:
        self.batches.append([item.prepared for item in inputs])
        return [self._embedded(str(item.prepared)) for item in inputs]

    def _embedded(self, text: str) -> Embedded | ServeError:
        if "!" in text:
            return InvalidField("failed", param="input")
        first = np.nan if "nan" in text else len(text)
        return Embedded(np.array([first, 1, 2, 3], dtype=np.float32), len(text))

    def answer(self, *calls: Call[EmbeddingsRequest]) -> dict[Call[EmbeddingsRequest], Output]:
        return dict(BATCHER.answer(calls, self.check, self.prepare, self.embed))


@pytest.fixture
def model() -> Model:
    return Model()


def ask(*texts: str, **fields: Any) -> Call[EmbeddingsRequest]:
    return Call(EmbeddingsRequest(input=list(texts), **fields))


def vectors(output: Output) -> Any:
    assert isinstance(output, EmbeddingsResponse), output
    return np.array([item.embedding for item in output.data])


def test_batches_texts_of_similar_length_across_calls(model: Model) -> None:
    first, second = ask("a", "dddd"), ask("ccc", "bb")
    answers = model.answer(first, second)
    assert model.batches == [["dddd", "ccc"], ["bb", "a"]]
    assert vectors(answers[first])[:, 0].tolist() == [1, 4]
    assert vectors(answers[second])[:, 0].tolist() == [3, 2]
    assert answers[first].usage.prompt_tokens == 5  # type: ignore[union-attr]


def test_refused_requests_fail_alone(model: Model) -> None:
    refused, too_many, fine = ask("a", user="refused"), ask("a", dimensions=5), ask("b")
    answers = model.answer(refused, too_many, fine)
    assert isinstance(answers[refused], InvalidField)
    assert "have only 4" in str(answers[too_many])
    assert model.batches == [["b"]]


def test_failing_input_fails_only_its_call(model: Model) -> None:
    unread, failed, fine = ask("long?", "xx"), ask("bad!"), ask("ok")
    answers = model.answer(unread, failed, fine)
    assert isinstance(answers[unread], ContextTooLong)
    assert isinstance(answers[failed], InvalidField)
    assert vectors(answers[fine])[0, 0] == 2
    assert not any("xx" in batch for batch in model.batches)


def test_cancelled_call_is_not_embedded(model: Model) -> None:
    gone, here = ask("gone"), ask("here")
    gone.cancel()
    assert list(model.answer(gone, here)) == [here]
    assert model.batches == [["here"]]


def test_progress_counts_inputs(model: Model) -> None:
    call = ask("a", "b", "c")
    model.answer(call)
    assert (call.done, call.total) == (3, 3)


def test_dimensions_shortens_and_rescales(model: Model) -> None:
    call = ask("a", dimensions=2)
    assert vectors(model.answer(call)[call])[0] == pytest.approx([0.5**0.5, 0.5**0.5])


def test_base64_is_little_endian_float32(model: Model) -> None:
    call = ask("abc", encoding_format="base64")
    [item] = model.answer(call)[call].data  # type: ignore[union-attr]
    assert np.frombuffer(base64.b64decode(item.embedding), "<f4").tolist() == [3, 1, 2, 3]


def test_vector_with_nan_fails_its_call_alone_and_names_the_text(model: Model) -> None:
    broken, fine = ask("a", "nan"), ask("b")
    answers = model.answer(broken, fine)
    error = answers[broken]
    assert isinstance(error, EngineFailed)
    assert "text 1" in error.message
    assert error.details == {"index": 1}
    assert vectors(answers[fine]).tolist() == [[1, 1, 2, 3]]


def test_images_share_a_batch_up_to_a_number_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "MAX_PIXELS", 1000)
    batches: list[list[tuple[int, int]]] = []

    def embed(inputs: list[EmbeddingInput]) -> list[Embedded]:
        batches.append([item.prepared.size for item in inputs])
        return [Embedded(np.ones(4, np.float32), 0) for _ in inputs]

    sizes = [(30, 30), (30, 30), (9, 1), (5, 5)]
    call = Call(EmbeddingsRequest.model_validate({"images": [encoded(Image.new("RGB", size)) for size in sizes]}))
    [(_, answer)] = EmbeddingBatcher("model", 4, 8).answer(
        [call],
        lambda _: None,
        lambda item: open_image(item.content),
        embed,  # type: ignore[arg-type]
    )
    assert len(vectors(answer)) == 4
    assert batches == [[(30, 30)], [(30, 30)], [(9, 1)], [(5, 5)]]
