"""Image generation with mflux's own loop; only its networks are replaced by tiny ones."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.errors import ContextTooLong, InvalidField, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.image_generation import ImageGenerationRequest, ImageGenerationResponse
from scripts.testbed.models import mflux as small
from tests.support import chat_engines
from workers.engine import Call
from workers.toolkit.drawing.memory import DrawingMemory

Engines = Callable[..., Any]


@pytest.fixture(scope="module")
def engines(models: Callable[[str], Path]) -> Iterator[Engines]:
    def load(name: str, **options: Any) -> Any:
        return chat_engines.load(models(f"mflux_{name}"), "mlx", tasks=["image-generation"], options=options)

    with pytest.MonkeyPatch.context() as patch:
        small.shrink(patch)
        yield cache(load)


@pytest.fixture
def engine(engines: Engines) -> Any:
    return engines("schnell")


def call(prompt: str = "a cat", **fields: Any) -> Call[ImageGenerationRequest]:
    return Call(ImageGenerationRequest.model_validate({"prompt": prompt, "size": "64x48", "seed": 1, **fields}))


def draw(engine: Any, prompt: str = "a cat", **fields: Any) -> ImageGenerationResponse:
    [(_, answer)] = engine.draw([call(prompt, **fields)])
    if isinstance(answer, ServeError):
        raise answer
    assert isinstance(answer, ImageGenerationResponse)
    return answer


def pixels(answer: ImageGenerationResponse, index: int = 0) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.data[index].b64_json))))


def test_size_is_bounded_by_the_devices_memory(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine._drawing, "_memory", DrawingMemory(available=1200**2 * 10, per_pixel=10))
    assert pixels(draw(engine, steps=1)).shape == (48, 64, 3)
    with pytest.raises(InvalidField, match="The largest square is 1200x1200"):
        draw(engine, size="2048x1024")


def test_image_equals_mfluxs_own(engine: Any) -> None:
    expected = engine._drawing._flux.generate_image(seed=5, prompt="a cat", num_inference_steps=3, width=64, height=48)
    answer = draw(engine, seed=5, steps=3)
    np.testing.assert_array_equal(pixels(answer), np.asarray(expected.image))
    assert pixels(answer).shape == (48, 64, 3)
    assert answer.usage.seed == 5


def test_prompt_and_seed_change_the_image(engine: Any) -> None:
    images = [pixels(draw(engine, *prompt, **seed)) for prompt, seed in (([], {}), (["a dog"], {}), ([], {"seed": 2}))]
    assert len({image.tobytes() for image in images}) == 3
    np.testing.assert_array_equal(pixels(draw(engine)), images[0])


def test_n_images_have_consecutive_seeds(engine: Any) -> None:
    answer = draw(engine, n=2, seed=7)
    assert [image.seed for image in answer.data] == [7, 8]
    np.testing.assert_array_equal(pixels(answer, 1), pixels(draw(engine, seed=8)))


def test_guidance_works_on_dev_and_warns_on_schnell(engines: Engines, engine: Any) -> None:
    mild, strong = (draw(engines("dev"), guidance=guidance, steps=2) for guidance in (1, 9))
    assert pixels(mild).tobytes() != pixels(strong).tobytes()
    answer = draw(engine, guidance=9)
    np.testing.assert_array_equal(pixels(answer), pixels(draw(engine)))
    assert answer.warnings == ["`guidance` has no effect on this model."]


def test_default_steps_depend_on_the_model(engines: Engines, engine: Any) -> None:
    for painter, steps in ((engine, 4), (engines("dev"), 25)):
        asked = call(n=2)
        list(painter.draw([asked]))
        assert (asked.done, asked.total) == (2 * steps, 2 * steps)


def test_quantised_model_draws_nearly_the_same(engines: Engines) -> None:
    plain, coarse = (pixels(draw(engines("dev", **options))) for options in ({}, {"quantization": "8bit"}))
    assert plain.tobytes() != coarse.tobytes()
    assert np.abs(plain.astype(int) - coarse).mean() < 16


def test_disconnect_ends_drawing_between_two_steps(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    leaver, stayer = call(steps=50), call()
    monkeypatch.setattr(leaver, "progress", lambda done, total: leaver.cancel() if done == 3 else None)
    assert [asked for asked, _ in engine.draw([leaver, stayer])] == [stayer]


def test_prompt_embeddings_are_not_kept(engine: Any) -> None:
    draw(engine, "a prompt used only once")
    assert engine._drawing._flux.prompt_cache == {}


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"size": "100x50"}, InvalidField, r"multiples of 16; the nearest are 96x48 and 112x64"),
        ({"negative_prompt": "fog"}, UnsupportedFeature, "takes no `negative_prompt`"),
    ],
)
def test_refuses_what_the_model_cannot_do(
    fields: dict[str, Any], error: type[ServeError], message: str, engine: Any
) -> None:
    with pytest.raises(error, match=message):
        draw(engine, **fields)


def test_long_prompt_is_cut_with_a_warning_or_refused(engines: Engines, engine: Any) -> None:
    warnings = draw(engine, "a" * 300).warnings
    assert "more than the 256 that this model reads: the end was left out" in warnings[0]
    with pytest.raises(ContextTooLong, match="shorten it"):
        draw(engines("schnell", truncate=False), "a" * 300)


def test_refuses_other_models(models: Any) -> None:
    with pytest.raises(LoadFailed, match=r"no FLUX\.1 in diffusers' or mflux's folder layout.*diffusers_image"):
        chat_engines.load(models("mlx_lm"), "mlx", tasks=["image-generation"])


def test_missing_mflux_says_what_to_install(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = models("mflux_schnell")  # made by mflux
    monkeypatch.setitem(sys.modules, "mflux.models.flux.variants.txt2img.flux", None)
    with pytest.raises(LoadFailed, match=r"`make setup ENGINES=mlx`"):
        chat_engines.load(folder, "mlx", tasks=["image-generation"])
