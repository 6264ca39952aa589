"""Pictures: equal to the pipeline's own for a seed, honest about what it cannot do, and ended when nobody waits."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from contract.config import ModelSpec
from contract.errors import ContextTooLong, InvalidField, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.image_generation import ImageGenerationRequest, ImageGenerationResponse
from tests.conftest import Models
from tests.workers import birth
from workers.engine import Call, Device, find

FAMILIES = ("sd", "flux")
PATH = "/v1/images/generations"


def load(source: object, **options: Any) -> Any:
    engine = find("diffusers_image")()
    options = {"threads": 1} | options  # more are slower where tests run side by side
    spec = ModelSpec(id="painter", engine="diffusers_image", source=str(source), options=options)
    engine.load(spec, Device("cpu", "float32"))
    return engine


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def engines(models: Models) -> dict[str, Any]:
    return {name: load(models(name)) for name in FAMILIES}


@pytest.fixture(scope="module")
def sd(engines: dict[str, Any]) -> Any:
    return engines["sd"]


@pytest.fixture(scope="module")
def flux(engines: dict[str, Any]) -> Any:
    return engines["flux"]


def ask(**fields: Any) -> Call[ImageGenerationRequest]:
    return Call(ImageGenerationRequest.model_validate({"prompt": "a red box", "size": "64x64", "steps": 3} | fields))


def draw(engine: Any, **fields: Any) -> ImageGenerationResponse:
    [(_, answer)] = engine.generate([ask(**fields)])
    if isinstance(answer, ServeError):
        raise answer
    return answer


def pixels(answer: ImageGenerationResponse, number: int = 0) -> Any:
    """uint8, shape (height, width, 3)."""
    return np.asarray(Picture.open(io.BytesIO(base64.b64decode(answer.data[number].b64_json))))


def drawn_by_the_library(folder: Path, prompt: str, seed: int, given: dict[str, Any]) -> Any:
    """Pixels of the pipeline called directly, with those arguments that are not None."""
    import torch
    from diffusers import AutoPipelineForText2Image

    pipe = AutoPipelineForText2Image.from_pretrained(folder, dtype=torch.float32)
    arguments = {name: value for name, value in given.items() if value is not None}
    return np.asarray(pipe(prompt, generator=torch.Generator().manual_seed(seed), **arguments).images[0])


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        *((family, fields) for family in FAMILIES for fields in ({}, {"guidance": 2.0}, {"steps": None})),
        ("sd", {"size": "auto"}),  # FLUX's own size, 1024 x 1024, is too slow for a test
    ],
)
def test_pixels_are_those_of_the_pipeline_called_directly(
    engines: dict[str, Any], models: Models, family: str, fields: dict[str, Any]
) -> None:
    request = ask(**fields).request
    given = {"num_inference_steps": request.steps, "guidance_scale": request.guidance}
    given |= dict(zip(("width", "height"), request.pixels or (), strict=False))

    got = pixels(draw(engines[family], seed=7, **fields))

    assert np.array_equal(got, drawn_by_the_library(models(family), request.prompt, 7, given))


def test_prompt_seed_and_guidance_change_the_picture(engines: dict[str, Any], family: str) -> None:
    engine = engines[family]
    pictures = [
        pixels(draw(engine, **{"seed": 1, **fields}))
        for fields in ({}, {"prompt": "the deep blue sea"}, {"seed": 2}, {"guidance": 30.0}, {"steps": 2})
    ]

    for number, picture in enumerate(pictures):
        assert not any(np.array_equal(picture, other) for other in pictures[:number]), number


def test_several_pictures_are_those_of_their_own_seeds(engines: dict[str, Any], family: str) -> None:
    engine = engines[family]

    answer = draw(engine, n=2, seed=40)

    assert [image.seed for image in answer.data] == [40, 41]
    assert answer.usage.seed == 40
    for number, seed in enumerate((40, 41)):
        assert np.array_equal(pixels(answer, number), pixels(draw(engine, seed=seed)))


def test_a_random_seed_is_told_and_draws_the_picture_again(sd: Any) -> None:
    first, other = draw(sd), draw(sd)

    assert first.data[0].seed != other.data[0].seed
    assert np.array_equal(pixels(first), pixels(draw(sd, seed=first.data[0].seed)))


def test_size_is_width_by_height(sd: Any) -> None:
    assert pixels(draw(sd, size="72x40", seed=1)).shape == (40, 72, 3)


def test_a_size_between_the_models_steps_names_the_nearest(engines: dict[str, Any], family: str) -> None:
    step, nearest = {"sd": (8, "96x64 and 104x64"), "flux": (16, "96x64 and 112x64")}[family]

    with pytest.raises(InvalidField, match=f"multiples of {step}; the nearest are {nearest}") as caught:
        draw(engines[family], size="100x64")

    assert caught.value.param == "size"


def test_a_negative_prompt_changes_the_picture(sd: Any) -> None:
    assert not np.array_equal(pixels(draw(sd, seed=1)), pixels(draw(sd, seed=1, negative_prompt="blue, dark")))


def test_a_negative_prompt_that_would_do_nothing_is_refused(sd: Any) -> None:
    with pytest.raises(InvalidField, match="raise `guidance`") as caught:
        draw(sd, negative_prompt="blue", guidance=1.0)

    assert caught.value.param == "negative_prompt"


def test_embedded_guidance_knows_no_negative_prompt_unless_true_guidance_is_on(flux: Any, models: Models) -> None:
    with pytest.raises(UnsupportedFeature, match="true_cfg_scale") as caught:
        draw(flux, negative_prompt="blue")
    assert caught.value.param == "negative_prompt"

    guided = load(models("flux"), true_cfg_scale=4.0)
    with_one = draw(guided, seed=1, negative_prompt="blue")
    assert not np.array_equal(pixels(with_one), pixels(draw(guided, seed=1)))
    assert np.array_equal(pixels(draw(guided, seed=1)), pixels(draw(flux, seed=1)))


def test_a_prompt_that_is_cut_is_told_of(sd: Any, flux: Any) -> None:
    prompt = "abcdefghij " * 10  # a hundred tokens, one a letter, and the two at the ends

    assert draw(sd, prompt=prompt).model_dump()["warnings"] == [
        "`prompt` has 102 tokens, 25 more than the 77 that this model reads: the end was left out."
    ]
    assert "warnings" not in draw(sd).model_dump()
    assert "warnings" not in draw(flux, prompt=prompt).model_dump(), "T5 reads 512 tokens"


def test_a_long_prompt_is_refused_where_the_entry_says_so(models: Models) -> None:
    with pytest.raises(ContextTooLong, match="25 more than the 77") as caught:
        draw(load(models("sd"), truncate=False), prompt="abcdefghij " * 10)

    assert caught.value.param == "prompt"


def test_who_leaves_ends_the_drawing_between_two_steps(engines: dict[str, Any], family: str) -> None:
    engine = engines[family]
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
    assert np.array_equal(pixels(draw(engine, seed=3)), expected), "the next picture is not touched by it"


def test_progress_counts_the_steps_of_all_pictures(sd: Any) -> None:
    call = ask(steps=3, n=2)

    list(sd.generate([call]))

    assert (call.done, call.total) == (6, 6)


def test_a_single_file_is_refused_with_what_to_give_instead(models: Models) -> None:
    file = models("sd") / "unet" / "config.json"

    with pytest.raises(LoadFailed, match="folder in diffusers' layout"):
        load(file)


def test_a_worker_draws_over_http(models: Models) -> None:
    spec = {"engine": "diffusers_image", "source": str(models("sd")), "defaults": {"steps": 2, "size": "64x64"}}
    with birth.worker(spec, imports=",".join(find("diffusers_image").imports)) as worker:
        answers = [worker.post(PATH, {"prompt": "a red box", "seed": 5}) for _ in range(2)]
        refused = worker.post(PATH, {"prompt": "a red box", "size": "65x64"})
        log = worker.log()

    assert [answer.status_code for answer in answers] == [200, 200]
    picture = Picture.open(io.BytesIO(base64.b64decode(answers[0].json()["data"][0]["b64_json"])))
    assert (picture.format, picture.size) == ("PNG", (64, 64))
    assert answers[0].json()["data"] == answers[1].json()["data"]
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "size")
    assert "cannot import" not in log
