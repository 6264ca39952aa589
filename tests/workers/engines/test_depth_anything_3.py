"""Depth Anything 3: depth, confidence and intrinsics match its own package.

These tests need the environment with that package, which `make test` makes. Most import it into their own process; the
last one starts a worker in that environment.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.config import ModelSpec
from contract.errors import BadImage, EngineFailed, InvalidField, LoadFailed
from scripts import environments
from tests.conftest import Models
from tests.support import depth_engines, worker_process
from tests.support.changed_weights import without_numbers
from tests.support.depth_engines import (
    CAMERA,
    IMAGE,
    INVERTED,
    TALL,
    answers,
    cloud,
    cloud_item,
    depth,
    depth_item,
    response,
    values,
)
from tests.support.odd_images import encoded
from workers.engine import Device
from workers.registry import find_engine

FOLDER = environments.environment_folder("depth-anything-3")
PACKAGES = next(FOLDER.glob("lib/python*/site-packages"), None)
NAMES = ("da3_tiny", "da3metric_tiny", "da3nested_tiny")
SIDE = 70
CLOSE = 1e-5
"""The largest error allowed, relative to the largest value."""

needs_the_package = pytest.mark.skipif(PACKAGES is None, reason="`make env-depth-anything-3` makes what this needs")

DepthEngine3 = Callable[..., Any]


@pytest.fixture(scope="module")
def package() -> Iterator[None]:
    """Make the environment's own packages importable, after those of the main environment."""
    sys.path.append(str(PACKAGES))
    try:
        yield
    finally:
        sys.path.remove(str(PACKAGES))


@pytest.fixture(scope="module")
def registered(package: None, models: Models) -> None:
    """Add the tiny networks to the package's registry."""
    from depth_anything_3.registry import MODEL_REGISTRY

    from scripts.testbed.models import depth3

    for name in NAMES:
        depth3.register(models(name), MODEL_REGISTRY)


@pytest.fixture(scope="module")
def engine3(registered: None, models: Models) -> DepthEngine3:
    return cache(lambda name, **options: depth_engines.load(models(name), **options))


@pytest.fixture(scope="module")
def reference(registered: None, models: Models) -> Callable[..., Any]:
    """The package's outputs for one image, from its network and processor called directly."""
    from scripts.testbed.models import depth3

    network = cache(lambda name: depth3.network(models(name)))

    def ask(name: str, image: Image.Image, shorter_side: int = SIDE) -> Any:
        import torch
        from depth_anything_3.utils.io.input_processor import InputProcessor

        pixels, _, _ = InputProcessor()(
            [image], process_res=shorter_side, process_res_method="lower_bound_resize", sequential=True
        )
        with torch.inference_mode():
            return network(name)(pixels[None])

    return ask


def at_full_size(depth: Any, image: Image.Image) -> Any:
    import torch

    size = image.height, image.width
    return torch.nn.functional.interpolate(depth, size=size, mode="bilinear").numpy()[0, 0]


def error(part: Any, expected: Any) -> float:
    """The largest difference, relative to the largest expected value."""
    array = part if isinstance(part, np.ndarray) else values(part)
    return float(np.abs(array - expected).max() / np.abs(expected).max())


@needs_the_package
@pytest.mark.parametrize("name", NAMES)
def test_depth_matches_the_package_alone_and_batched(
    name: str, engine3: DepthEngine3, reference: Callable[..., Any]
) -> None:
    engine = engine3(name)
    images = [IMAGE, INVERTED, TALL]
    alone, together = (
        response(engine, depth(*some, model_input_size=SIDE, confidence=name != "da3metric_tiny"))
        for some in ([IMAGE], images)
    )
    for item, image in zip([*alone.data, *together.data], [IMAGE, *images], strict=True):
        expected = reference(name, image)
        assert (item.kind, item.unit) == ("depth", "metre" if name == "da3nested_tiny" else "relative")
        assert error(item.depth, at_full_size(expected["depth"], image)) < CLOSE
        if name != "da3metric_tiny":
            assert error(item.confidence, at_full_size(expected["depth_conf"], image)) < CLOSE
    assert error(together.data[1].depth, values(alone.data[0].depth)) > 1e-3


@needs_the_package
def test_intrinsics_are_in_pixels_of_the_whole_image(engine3: DepthEngine3, reference: Callable[..., Any]) -> None:
    for image in (IMAGE, TALL):
        expected = reference("da3_tiny", image)
        rows, columns = expected["depth"].shape[-2:]
        matrix = expected["intrinsics"][0, 0]
        camera = depth_item(engine3("da3_tiny"), image, model_input_size=SIDE).camera_intrinsics
        assert camera.fx == pytest.approx(float(matrix[0, 0]) * image.width / columns, rel=1e-4)
        assert camera.fy == pytest.approx(float(matrix[1, 1]) * image.height / rows, rel=1e-4)
        assert (camera.cx, camera.cy) == (image.width / 2, image.height / 2)


@needs_the_package
def test_point_cloud_uses_given_or_predicted_intrinsics(engine3: DepthEngine3) -> None:
    predicted, given = (
        cloud_item(engine3("da3_tiny"), model_input_size=SIDE, confidence=True, **fields)
        for fields in ({}, {"camera_intrinsics": CAMERA})
    )
    assert given.camera_intrinsics.model_dump() == CAMERA
    assert predicted.unit == "relative"
    assert predicted.confidence.shape == (60, 80)
    for item in (predicted, given):
        x, y, z = values(item.points)[59 * 80 + 3]
        camera = item.camera_intrinsics
        assert (x, y) == pytest.approx(((3 - camera.cx) * z / camera.fx, (59 - camera.cy) * z / camera.fy), rel=1e-4)


@needs_the_package
def test_intrinsics_turn_metric_output_into_metres(engine3: DepthEngine3, reference: Callable[..., Any]) -> None:
    """depth = focal length x output / 300, with the focal length in pixels of the network's input."""
    item = depth_item(engine3("da3metric_tiny"), model_input_size=SIDE, camera_intrinsics=CAMERA)
    expected = reference("da3metric_tiny", IMAGE)["depth"]
    rows, columns = expected.shape[-2:]
    focal = (CAMERA["fx"] * columns / 80 + CAMERA["fy"] * rows / 60) / 2
    assert item.unit == "metre"
    assert error(item.depth, at_full_size(expected, IMAGE) * focal / 300) < CLOSE
    [refusal] = answers(engine3("da3metric_tiny"), cloud(IMAGE, model_input_size=SIDE))
    assert isinstance(refusal, InvalidField)
    assert refusal.param == "camera_intrinsics"


@needs_the_package
@pytest.mark.parametrize("size", [(80, 60), (1200, 31), (1200, 30), (33, 900), (600, 500), (1, 1)], ids=str)
def test_input_sizes_match_the_package(size: tuple[int, int], engine3: DepthEngine3) -> None:
    from depth_anything_3.utils.io.input_processor import InputProcessor

    estimator = engine3("da3_tiny")._estimator
    image = IMAGE.resize(size)
    for shorter_side in (28, 30):
        pixels, _, _ = InputProcessor()([image], process_res=shorter_side, process_res_method="lower_bound_resize")
        assert estimator.input_size(*size, shorter_side) == pixels.shape[-2:]
    rows, columns = estimator.input_size(*size, None)
    if min(size) * 504 >= 14 * max(size):  # the package scales narrower strips to less than a patch
        pixels, _, _ = InputProcessor()([image])
        assert (rows, columns) == pixels.shape[-2:]
    assert min(rows, columns) >= 14


@needs_the_package
def test_image_of_only_sky_fails_alone(engine3: DepthEngine3) -> None:
    engine = engine3("da3nested_tiny")
    sky = engine._estimator._network.da3_metric.head.scratch.sky_output_conv2[2].bias.data
    forward, default_bias = engine._estimator._network.forward, sky.clone()
    calls: list[int] = []

    def only_sky_first(views: Any) -> Any:
        sky.copy_(default_bias if calls else default_bias + 5)
        calls.append(1)
        return forward(views)

    engine._estimator._network.forward = only_sky_first
    try:
        refusal, answer = answers(engine, depth(IMAGE, model_input_size=SIDE), depth(INVERTED, model_input_size=SIDE))
    finally:
        del engine._estimator._network.forward
    assert isinstance(refusal, BadImage)
    assert "only sky" in refusal.message
    assert len(answer.data) == 1


@needs_the_package
@pytest.mark.parametrize("name", NAMES)
def test_nan_is_an_error_that_names_the_image(registered: None, name: str, models: Models, tmp_path: Any) -> None:
    engine = depth_engines.load(without_numbers(models(name), tmp_path / "model"))
    for request in (depth(IMAGE, model_input_size=SIDE), cloud(IMAGE, model_input_size=SIDE, camera_intrinsics=CAMERA)):
        [error] = answers(engine, request)
        assert isinstance(error, EngineFailed), error
        assert "computed values that are not numbers (NaN or infinity) for image 0." in error.message


@needs_the_package
def test_half_precision_is_close_to_full(engine3: DepthEngine3, models: Models) -> None:
    half = depth_engines.load(models("da3_tiny"), dtype="bfloat16")
    exact, close = (depth_item(engine, model_input_size=SIDE) for engine in (engine3("da3_tiny"), half))
    assert error(close.depth, values(exact.depth)) < 0.05
    assert len(np.unique(values(close.depth))) > 4000


@needs_the_package
def test_rejects_an_unknown_network_by_name(package: None, tmp_path: Any) -> None:
    (tmp_path / "config.json").write_text('{"model_name": "da3-colossal"}')
    with pytest.raises(LoadFailed, match=r"da3-base.*It names da3-colossal"):
        depth_engines.load(tmp_path)


def test_missing_package_error_says_how_to_install_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_name": "da3-base"}')
    monkeypatch.setattr("workers.engines.depth_anything.version3.find_spec", lambda _: None)
    with pytest.raises(LoadFailed, match=r"`make env-depth-anything-3`.*`python: \./data/envs/depth-anything-3/bin/py"):
        depth_engines.load(tmp_path)
    spec = ModelSpec(id="x", engine="depth_anything", source=str(tmp_path), options={"quantization": "4bit"})
    with pytest.raises(LoadFailed, match="Leave it out"):
        find_engine("depth_anything")().load(spec, Device("cpu", "float32"))


@needs_the_package
def test_worker_runs_in_its_own_environment(registered: None, models: Models) -> None:
    """Started with `python` in its entry, with a network of the package: the tiny ones are not registered there."""
    folder = models("da3_small")
    exact = depth_item(depth_engines.load(folder), model_input_size=28)
    entry = {"engine": "depth_anything", "source": str(folder), "python": str(FOLDER / "bin" / "python")}
    body = {"image": base64.b64encode(encoded(IMAGE)).decode(), "model_input_size": 28}
    with worker_process.worker({**entry, "options": {"threads": 1}}) as worker:
        answer = worker.post("/v1/vision/depth", body, accept="application/octet-stream")
    assert answer.status_code == 200
    assert error(np.frombuffer(answer.content, "<f4").reshape(60, 80), values(exact.depth)) < CLOSE
