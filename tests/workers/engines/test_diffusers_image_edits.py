"""Edits: equal to the pipelines' own, unchanged outside of masks, with helpful errors for what is impossible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.errors import InvalidField, UnsupportedFeature, UnsupportedTask
from tests.conftest import Models
from tests.support.image_engines import Painter, ask, draw, edited, left_half, mosaic, pixels, transparent
from tests.support.odd_images import ODD_IMAGES, encoded

FAMILIES = ("sd", "flux", "flux_schnell")
IMAGE = mosaic()
MASK = left_half()


@pytest.fixture(scope="module")
def klein(painter: Painter) -> Any:
    return painter("flux2_klein")


@pytest.fixture(scope="module")
def direct(models: Models) -> Any:
    """Calls the library: `direct(pipeline, family, prompt, …)` returns pixels drawn with the seed 7."""
    import diffusers
    import torch

    def call(pipeline: str, family: str, prompt: str = "a red box", **arguments: Any) -> Any:
        folder: Path = models(family)
        pipe = getattr(diffusers, pipeline).from_pretrained(folder, dtype=torch.float32)
        generator = torch.Generator().manual_seed(7)
        return np.asarray(pipe(prompt=prompt, generator=generator, num_inference_steps=3, **arguments).images[0])

    return call


@pytest.mark.parametrize("family", FAMILIES)
def test_edit_equals_the_pipelines_own(painter: Painter, direct: Any, family: str) -> None:
    image = edited(painter(family), image=encoded(IMAGE), strength=0.5)

    size = {} if family == "sd" else {"width": 64, "height": 64}
    assert np.array_equal(image, direct("AutoPipelineForImage2Image", family, image=IMAGE, strength=0.5, **size))


@pytest.mark.parametrize("family", [*FAMILIES, "sd_inpaint", "flux2_klein"])
def test_masked_edit_changes_only_the_masked_part(painter: Painter, direct: Any, family: str) -> None:
    image = edited(painter(family), image=encoded(IMAGE), mask=encoded(transparent(MASK)), strength=1.0)

    arguments = {"image": IMAGE, "mask_image": MASK, "strength": 1.0, "width": 64, "height": 64}
    pipeline = "Flux2KleinInpaintPipeline" if family == "flux2_klein" else "AutoPipelineForInpainting"
    drawn = direct(pipeline, family, **arguments)
    assert np.array_equal(image[:, :32], drawn[:, :32])
    assert np.array_equal(image[:, 32:], np.asarray(IMAGE)[:, 32:])
    assert not np.array_equal(drawn[:, 32:], image[:, 32:]), "the pipeline alone changes those pixels too"


def test_edit_depends_on_image_prompt_seed_strength_and_mask(painter: Painter) -> None:
    plain = {"image": encoded(IMAGE), "strength": 0.5, "steps": 4}
    others: tuple[dict[str, Any], ...] = (
        {}, {"image": encoded(mosaic(seed=1))}, {"prompt": "the sea"}, {"seed": 8}, {"strength": 1.0}, {"steps": 6},
        {"mask": encoded(MASK)},
    )  # fmt: skip
    for family in ("sd", "flux"):
        answers = [edited(painter(family), **{**plain, **other}) for other in others]
        for number, answer in enumerate(answers):
            assert not any(np.array_equal(answer, other) for other in answers[:number]), (family, others[number])


@pytest.mark.parametrize("family", ["sd", "flux"])
def test_seed_reproduces_an_edit_after_other_drawings(painter: Painter, family: str) -> None:
    engine = painter(family)
    generated = pixels(draw(engine, seed=3))
    answer = draw(engine, "edit", image=encoded(IMAGE), n=2, seed=40, strength=0.5)

    assert [image.seed for image in answer.data] == [40, 41]
    for number, seed in enumerate((40, 41)):
        assert np.array_equal(pixels(answer, number), edited(engine, image=encoded(IMAGE), seed=seed, strength=0.5))
    assert np.array_equal(generated, pixels(draw(engine, seed=3)))


@pytest.mark.parametrize("family", ["sd", "flux"])
def test_pipelines_share_one_copy_of_the_weights(painter: Painter, family: str) -> None:
    import torch

    pipelines = painter(family).pipelines
    pipes = [adapter.pipe for adapter in (pipelines.text_to_image, pipelines.image_to_image, pipelines.inpainting)]

    assert len({type(pipe) for pipe in pipes}) == 3
    modules = [{n: id(p) for n, p in pipe.components.items() if isinstance(p, torch.nn.Module)} for pipe in pipes]
    assert len(modules[0]) >= 3
    assert modules[0] == modules[1] == modules[2]


# Strength ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, encoded(MASK)])
def test_strength_zero_keeps_the_image(sd: Any, mask: bytes | None) -> None:
    call = ask("edit", image=encoded(IMAGE), mask=mask, strength=0.0, n=2, seed=1)

    [(_, answer)] = sd.edit([call])

    assert all(np.array_equal(pixels(answer, number), np.asarray(IMAGE)) for number in (0, 1))
    assert call.done == 0, "nothing was drawn"


def test_higher_strength_means_more_steps(sd: Any) -> None:
    steps = []
    for strength in (0.25, 0.5, 1.0):
        call = ask("edit", image=encoded(IMAGE), strength=strength, steps=8)
        assert list(sd.edit([call]))
        steps.append((call.done, call.total))

    assert steps == [(2, 2), (4, 4), (8, 8)]


def test_too_low_strength_names_the_minimum(sd: Any, flux: Any) -> None:
    with pytest.raises(InvalidField, match=r"raise `strength` to 0\.34 or `steps` to 10\.") as caught:
        edited(sd, image=encoded(IMAGE), strength=0.1)
    assert caught.value.param == "strength"

    for enough in ({"strength": 0.34}, {"strength": 0.1, "steps": 10}):
        edited(sd, image=encoded(IMAGE), **enough)
    edited(flux, image=encoded(IMAGE), strength=0.1)  # these pipelines round up


# Guidance, several images, other models --------------------------------------------------------------------------


def test_embedded_guidance_works_or_is_warned_about(painter: Painter, direct: Any) -> None:
    for task, arguments in (("Image2Image", {}), ("Inpainting", {"mask_image": MASK})):
        mask = encoded(MASK) if arguments else None
        answer = draw(painter("flux"), "edit", image=encoded(IMAGE), mask=mask, guidance=2.0, strength=1.0, seed=7)
        size = {"width": 64, "height": 64, "strength": 1.0}
        drawn = direct(f"AutoPipelineFor{task}", "flux", image=IMAGE, guidance_scale=2.0, **arguments, **size)
        assert np.array_equal(pixels(answer)[:, :32], drawn[:, :32])

        warned = draw(painter("flux_schnell"), "edit", image=encoded(IMAGE), mask=mask, guidance=2.0)
        assert warned.model_dump()["warnings"] == ["`guidance` has no effect on this model."]


def test_combines_several_images(klein: Any, direct: Any) -> None:
    first, second = mosaic(), mosaic(96, 64, seed=1)

    together = edited(klein, image=[encoded(first), encoded(second)])

    size = {"width": 64, "height": 64}
    assert np.array_equal(together, direct("Flux2KleinPipeline", "flux2_klein", image=[first, second], **size))
    assert not np.array_equal(together, edited(klein, image=encoded(first)))
    assert not np.array_equal(together, edited(klein, image=[encoded(first), encoded(mosaic(96, 64, seed=2))]))


def test_refuses_several_images_if_the_model_takes_one(sd: Any, klein: Any) -> None:
    with pytest.raises(UnsupportedFeature, match="one image at a time; this request has 2") as caught:
        edited(sd, image=[encoded(IMAGE)] * 2)
    assert caught.value.param == "image"
    with pytest.raises(UnsupportedFeature, match="but not with a mask"):
        edited(klein, image=[encoded(IMAGE)] * 2, mask=encoded(MASK))


def test_refuses_an_image_that_the_pipeline_refuses(klein: Any) -> None:
    with pytest.raises(InvalidField, match="at least 64px") as caught:
        edited(klein, image=encoded(mosaic(40, 40)))
    assert caught.value.param == "image"


def test_instruction_model_takes_no_strength(klein: Any) -> None:
    with pytest.raises(UnsupportedFeature, match="leave it out") as caught:
        edited(klein, image=encoded(IMAGE), strength=0.5)
    assert caught.value.param == "strength"


def test_refuses_tasks_that_the_pipeline_lacks(painter: Painter) -> None:
    with pytest.raises(UnsupportedFeature, match="send a `mask`"):
        edited(painter("sd_inpaint"), image=encoded(IMAGE))
    with pytest.raises(UnsupportedTask, match="/v1/images/edits"):
        draw(painter("sd_inpaint"))
    with pytest.raises(UnsupportedTask, match="draws from text only"):
        edited(painter("pixart"), image=encoded(IMAGE))
    assert pixels(draw(painter("pixart"), steps=2)).shape == (64, 64, 3)


def test_features_of_loaded_models(painter: Painter) -> None:
    families = (*FAMILIES, "flux2_klein", "sd_inpaint", "pixart")
    features = {name: painter(name).loaded_features() - {"output_format"} for name in families}

    assert features == {
        **{name: {"mask", "strength"} for name in FAMILIES},
        "flux2_klein": {"images", "mask", "strength"},
        "sd_inpaint": {"mask", "strength"},
        "pixart": frozenset(),
    }


def test_disconnect_ends_an_edit_between_two_steps(sd: Any) -> None:
    call = ask("edit", image=encoded(IMAGE), steps=40, strength=1.0)
    progress = call.progress

    def leave_at_second_step(done: int, total: int) -> None:
        progress(done, total)
        if done == 2:
            call.cancel()

    call.progress = leave_at_second_step

    assert list(sd.edit([call])) == []
    assert (call.done, call.total) == (2, 40)


# Variations -------------------------------------------------------------------------------------------------------


def test_variation_is_an_edit_without_a_prompt(sd: Any, direct: Any) -> None:
    image = pixels(draw(sd, "vary", prompt="", image=encoded(IMAGE), strength=0.7, seed=7))

    assert np.array_equal(image, direct("AutoPipelineForImage2Image", "sd", prompt="", image=IMAGE, strength=0.7))


def test_variation_sees_transparency_as_white(sd: Any) -> None:
    holes, plain = ((odd.content, odd.plain) for odd in ODD_IMAGES if odd.name == "RGBA").__next__()

    assert draw(sd, "vary", image=holes, seed=1).data == draw(sd, "vary", image=plain, seed=1).data


def test_instruction_model_draws_no_variations(klein: Any) -> None:
    with pytest.raises(UnsupportedTask, match="a prompt to /v1/images/edits"):
        draw(klein, "vary", image=encoded(IMAGE))
