"""What image engines share: seeds, progress, cancelling, file formats, and errors for what a model cannot honour."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import pytest
from PIL import Image

from contract.errors import ContextTooLong, InvalidField, ServeError
from contract.tasks.image_generation import MAX_SEED, ImageGenerationRequest, ImageGenerationResponse
from workers.engine import Call
from workers.toolkit.drawing.answering import Drawing, ImageProgress, answer_calls
from workers.toolkit.drawing.limits import prompt_warnings, requested_size
from workers.toolkit.drawing.memory import COPIES, GIB, DrawingMemory

STEPS = 4


def ask(**fields: Any) -> Call[ImageGenerationRequest]:
    return Call(ImageGenerationRequest.model_validate({"prompt": "a box", **fields}))


def plan(request: ImageGenerationRequest) -> Drawing:
    """Draws an image whose red value is the seed, in four steps; refuses the prompt `refuse`."""
    if request.prompt == "refuse":
        raise InvalidField("refused", param="prompt")

    def draw(seed: int, progress: ImageProgress) -> tuple[Any, list[str]]:
        for step in range(STEPS):
            progress.report(step + 1, STEPS)
        return Image.new("RGB", (16, 16), (seed % 256, 0, 0)), [f"warning {progress.index}"]

    return Drawing(draw, ["warning about all"])


def answer(call: Call[ImageGenerationRequest]) -> ImageGenerationResponse:
    [(_, output)] = answer_calls([call], plan)
    if isinstance(output, ServeError):
        raise output
    assert isinstance(output, ImageGenerationResponse)
    return output


def opened(response: ImageGenerationResponse, index: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(response.data[index].b64_json)))


def test_n_images_have_consecutive_seeds() -> None:
    response = answer(ask(n=3, seed=7))
    assert [image.seed for image in response.data] == [7, 8, 9]
    assert [opened(response, index).getpixel((0, 0)) for index in range(3)] == [(7, 0, 0), (8, 0, 0), (9, 0, 0)]
    assert response.usage.seed == 7


def test_seeds_wrap_around_after_the_largest() -> None:
    assert [image.seed for image in answer(ask(n=2, seed=MAX_SEED)).data] == [MAX_SEED, 0]


def test_missing_seed_is_random_and_returned() -> None:
    seeds = {answer(ask()).data[0].seed for _ in range(3)}
    assert len(seeds) > 1
    assert None not in seeds


def test_warnings_of_request_and_images_are_returned() -> None:
    warnings = answer(ask(n=2)).model_dump()["warnings"]
    assert warnings == ["warning about all", "warning 0", "warning 1"]


def test_progress_counts_the_steps_of_all_images() -> None:
    call = ask(n=2)
    answer(call)
    assert (call.done, call.total) == (2 * STEPS, 2 * STEPS)


def test_cancelled_call_ends_at_the_next_step_without_an_answer() -> None:
    leaver, stayer = ask(n=2), ask()
    progress, reported = leaver.progress, []

    def cancel_at_second_step(done: int, total: int) -> None:
        progress(done, total)
        reported.append(done)
        if done == 2:
            leaver.cancel()

    leaver.progress = cancel_at_second_step  # type: ignore[method-assign]
    assert [call for call, _ in answer_calls([leaver, stayer], plan)] == [stayer]
    assert reported == [1, 2]


def test_refused_request_fails_alone() -> None:
    refused, drawn = answer_calls([ask(prompt="refuse"), ask()], plan)
    assert isinstance(refused[1], InvalidField)
    assert isinstance(drawn[1], ImageGenerationResponse)


@pytest.mark.parametrize(("output_format", "expected"), [(None, "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_writes_the_requested_file_format(output_format: str | None, expected: str) -> None:
    assert opened(answer(ask(output_format=output_format))).format == expected


def test_unsupported_file_format_is_refused_before_drawing() -> None:
    call = ask(output_format="gif")
    with pytest.raises(InvalidField, match="png, jpeg or webp"):
        answer(call)
    assert call.done == 0


def test_size_must_be_a_multiple() -> None:
    assert requested_size(ask(size="96x64").request, 16, 64) == (96, 64)
    assert requested_size(ask(size="auto").request, 16, 64) is None
    with pytest.raises(InvalidField, match="multiples of 16; the nearest are 96x48 and 112x64"):
        requested_size(ask(size="100x50").request, 16, 64)


def test_size_is_bounded_by_what_the_model_draws() -> None:
    assert requested_size(ask(size="128x128").request, 16, 64) == (128, 128)
    assert requested_size(ask(size="256x64").request, 16, 64) == (256, 64)
    with pytest.raises(InvalidField, match="at most 4 times as many pixels, such as 128x128") as caught:
        requested_size(ask(size="4096x4096").request, 16, 64)
    assert caught.value.param == "size"


def test_size_is_bounded_by_the_memory_beside_the_model() -> None:
    memory = DrawingMemory.beside(weights=3 * GIB, device=5 * GIB, channels=256, value_bytes=2)
    assert memory is not None
    largest = math.isqrt(2 * GIB // (256 * 2 * COPIES)) // 16 * 16
    assert requested_size(ask(size=f"{largest}x{largest}").request, 16, 512, memory) == (largest, largest)
    assert requested_size(ask(size="1024x1024").request, 16, 1024, memory) == (1024, 1024)  # the model's own square
    with pytest.raises(InvalidField) as caught:
        requested_size(ask(size="1024x1024").request, 16, 512, memory)
    assert caught.value.param == "size"
    assert caught.value.message == (
        f"`size` 1024x1024: drawing it takes about {1024**2 * 256 * 2 * COPIES / GIB:.1f} GiB, and this device has at "
        f"most 2.0 GiB beside the model. The largest square is {largest}x{largest}."
    )


def test_unknown_memory_bounds_nothing() -> None:
    assert DrawingMemory.beside(weights=3 * GIB, device=None) is None


def test_long_prompt_is_cut_with_a_warning_or_refused() -> None:
    assert prompt_warnings("prompt", 77, 77, truncate=False) == []
    assert "25 more than the 77" in prompt_warnings("prompt", 102, 77, truncate=True)[0]
    with pytest.raises(ContextTooLong) as refused:
        prompt_warnings("prompt", 102, 77, truncate=False)
    assert refused.value.details == {"tokens": 102, "limit": 77}
