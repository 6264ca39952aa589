"""Image generation: equal to the pipeline's own images, with helpful errors, and cancelled on disconnect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.errors import ContextTooLong, InvalidField, UnsupportedFeature
from contract.tasks.image_generation import ImageGenerationResponse
from tests.conftest import Models
from tests.support import worker_process
from tests.support.image_engines import Painter, ask, draw, load, mosaic, opened, pixels
from tests.support.odd_images import encoded
from workers.engines.diffusers_image.pipelines import drawing_memory
from workers.registry import find_engine

FAMILIES = ("sd", "flux")
PATH = "/v1/images/generations"


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def drawn_by_the_library(folder: Path, prompt: str, seed: int, arguments: dict[str, Any]) -> Any:
    """Pixels of the pipeline called directly, with the arguments that are not None."""
    import torch
    from diffusers import AutoPipelineForText2Image

    pipe = AutoPipelineForText2Image.from_pretrained(folder, dtype=torch.float32)
    used = {name: value for name, value in arguments.items() if value is not None}
    return np.asarray(pipe(prompt, generator=torch.Generator().manual_seed(seed), **used).images[0])


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        *((family, fields) for family in FAMILIES for fields in ({}, {"guidance": 2.0}, {"steps": None})),
        ("sd", {"size": "auto"}),  # FLUX's native size, 1024 x 1024, is too slow for a test
    ],
)
def test_image_equals_the_pipelines_own(painter: Painter, models: Models, family: str, fields: dict[str, Any]) -> None:
    request = ask(**fields).request
    arguments = {"num_inference_steps": request.steps, "guidance_scale": request.guidance}
    arguments |= dict(zip(("width", "height"), request.pixels or (), strict=False))

    image = pixels(draw(painter(family), seed=7, **fields))

    assert np.array_equal(image, drawn_by_the_library(models(family), request.prompt, 7, arguments))


def test_prompt_seed_and_guidance_change_the_image(painter: Painter, family: str) -> None:
    engine = painter(family)
    images = [
        pixels(draw(engine, **{"seed": 1, **fields}))
        for fields in ({}, {"prompt": "the deep blue sea"}, {"seed": 2}, {"guidance": 30.0}, {"steps": 2})
    ]

    for number, drawn in enumerate(images):
        assert not any(np.array_equal(drawn, other) for other in images[:number]), number


def test_each_of_n_images_has_its_own_seed(painter: Painter, family: str) -> None:
    engine = painter(family)

    answer = draw(engine, n=2, seed=40)

    assert [image.seed for image in answer.data] == [40, 41]
    assert answer.usage.seed == 40
    for number, seed in enumerate((40, 41)):
        assert np.array_equal(pixels(answer, number), pixels(draw(engine, seed=seed)))


def test_random_seed_is_returned_and_reproduces_the_image(sd: Any) -> None:
    first, other = draw(sd), draw(sd)

    assert first.data[0].seed != other.data[0].seed
    assert np.array_equal(pixels(first), pixels(draw(sd, seed=first.data[0].seed)))


def test_size_is_width_by_height(sd: Any) -> None:
    assert pixels(draw(sd, size="72x40", seed=1)).shape == (40, 72, 3)


def test_refused_size_names_the_nearest(painter: Painter, family: str) -> None:
    step, nearest = {"sd": (8, "96x64 and 104x64"), "flux": (16, "96x64 and 112x64")}[family]

    with pytest.raises(InvalidField, match=f"multiples of {step}; the nearest are {nearest}") as caught:
        draw(painter(family), size="100x64")

    assert caught.value.param == "size"


def short_of_memory(source: object, native: int) -> Any:
    """The engine where the memory beside the model suffices for 1.25 times its own square."""
    own = drawing_memory(load(source).pipelines.for_generation().pipe, 2**30)
    assert own is not None
    weights = 2**30 - own.available
    return load(source, memory=weights + own.per_pixel * native**2 * 5 // 4)


def test_size_is_bounded_by_the_devices_memory(models: Models) -> None:
    engine = short_of_memory(models("sd"), 64)
    assert pixels(draw(engine, size="80x64", seed=1)).shape == (64, 80, 3)
    with pytest.raises(InvalidField, match=r"beside the model. The largest square is 64x64") as caught:
        draw(engine, size="96x64")
    assert caught.value.details == {"max_pixels": 80 * 64}
    answer = draw(engine, "edit", image=encoded(mosaic(128, 128)), strength=0.5)
    assert pixels(answer).shape == (64, 64, 3)
    assert "drawn at 64x64, all that the memory suffices for" in answer.model_dump()["warnings"][0]


def test_flux_refuses_what_its_memory_does_not_suffice_for(models: Models) -> None:
    with pytest.raises(InvalidField, match=r"beside the model. The largest square is 1136x1136"):
        draw(short_of_memory(models("flux"), 1024), size="2048x1024")


def test_models_own_square_is_never_refused_for_memory(models: Models) -> None:
    engine = load(models("sd"), memory=1)
    assert pixels(draw(engine, size="64x64", seed=1)).shape == (64, 64, 3)
    with pytest.raises(InvalidField, match="largest square is 64x64"):
        draw(engine, size="72x64")


def test_negative_prompt_changes_the_image(sd: Any) -> None:
    assert not np.array_equal(pixels(draw(sd, seed=1)), pixels(draw(sd, seed=1, negative_prompt="blue, dark")))


def test_refuses_a_negative_prompt_without_effect(sd: Any) -> None:
    with pytest.raises(InvalidField, match="raise `guidance`") as caught:
        draw(sd, negative_prompt="blue", guidance=1.0)

    assert caught.value.param == "negative_prompt"


def test_negative_prompt_needs_true_guidance_on_flux(flux: Any, models: Models) -> None:
    with pytest.raises(UnsupportedFeature, match="true_cfg_scale") as caught:
        draw(flux, negative_prompt="blue")
    assert caught.value.param == "negative_prompt"

    guided = load(models("flux"), true_cfg_scale=4.0)
    with_one = draw(guided, seed=1, negative_prompt="blue")
    assert not np.array_equal(pixels(with_one), pixels(draw(guided, seed=1)))
    assert np.array_equal(pixels(draw(guided, seed=1)), pixels(draw(flux, seed=1)))


def test_warns_about_a_truncated_prompt(sd: Any, flux: Any) -> None:
    prompt = "abcdefghij " * 10  # a hundred tokens, one per letter, and two special ones

    assert draw(sd, prompt=prompt).model_dump()["warnings"] == [
        "`prompt` has 102 tokens, 25 more than the 77 that this model reads: the end was left out."
    ]
    assert "warnings" not in draw(sd).model_dump()
    assert "warnings" not in draw(flux, prompt=prompt).model_dump(), "T5 reads 512 tokens"


def test_refuses_a_long_prompt_without_truncate(models: Models) -> None:
    with pytest.raises(ContextTooLong, match="25 more than the 77") as caught:
        draw(load(models("sd"), truncate=False), prompt="abcdefghij " * 10)

    assert caught.value.param == "prompt"


def test_disconnect_ends_drawing_between_two_steps(painter: Painter, family: str) -> None:
    engine = painter(family)
    expected = pixels(draw(engine, seed=3))
    call = ask(steps=40, n=2)
    progress, steps = call.progress, []

    def leave_at_second_step(done: int, total: int) -> None:
        progress(done, total)
        steps.append((done, total))
        if done == 2:
            call.cancel()

    call.progress = leave_at_second_step

    assert list(engine.generate([call])) == []
    assert steps == [(1, 80), (2, 80)]
    assert np.array_equal(pixels(draw(engine, seed=3)), expected), "the next image is unaffected"


def test_progress_counts_the_steps_of_all_images(sd: Any) -> None:
    call = ask(steps=3, n=2)

    list(sd.generate([call]))

    assert (call.done, call.total) == (6, 6)


def test_writes_the_requested_file_format(sd: Any) -> None:
    answers = {
        file_format: draw(sd, seed=1, output_format=file_format) for file_format in (None, "png", "jpeg", "webp")
    }

    assert [opened(answer).format for answer in answers.values()] == ["PNG", "PNG", "JPEG", "WEBP"]
    sizes = [len(draw(sd, seed=1, output_format="jpeg", output_compression=q).data[0].b64_json) for q in (10, 100)]
    assert sizes[0] < sizes[1] == len(answers["jpeg"].data[0].b64_json)
    assert np.array_equal(pixels(answers["png"]), pixels(answers[None]))


def test_refuses_unsupported_file_formats(sd: Any) -> None:
    with pytest.raises(InvalidField, match="png, jpeg or webp"):
        draw(sd, output_format="gif")


def test_worker_draws_and_edits_over_http(models: Models) -> None:
    defaults = {"steps": 2, "size": "64x64"}
    spec = {"engine": "diffusers_image", "source": str(models("sd")), "defaults": defaults}
    with worker_process.worker(spec, imports=",".join(find_engine("diffusers_image").imports)) as worker:
        answers = [worker.post(PATH, {"prompt": "a red box", "seed": 5}) for _ in range(2)]
        refused = worker.post(PATH, {"prompt": "a red box", "size": "65x64"})
        form = {"prompt": "make it sunset", "strength": "0.7", "steps": "4", "seed": "5"}
        changed = worker.client.post(
            "/v1/images/edits", data=form, files={"image": ("a.png", encoded(mosaic(48, 40)), "image/png")}
        )
        log = worker.log()

    assert [answer.status_code for answer in (*answers, changed)] == [200, 200, 200]
    drawn, again, from_image = (ImageGenerationResponse.model_validate(a.json()) for a in (*answers, changed))
    assert (opened(drawn).format, opened(drawn).size) == ("PNG", (64, 64))
    assert drawn.data == again.data
    assert opened(from_image).size == (48, 40), "an edit is as large as its image, whatever the default"
    assert from_image.usage.seed == 5
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "size")
    assert "cannot import" not in log
