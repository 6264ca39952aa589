"""Depth Anything 3: its own network's depth, confidence and camera, in an environment on top of the house's.

Needs that environment; `make test` makes it. Most tests have its packages in their own process, the last one in a
worker that runs there.
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
from contract.errors import BadImage, InvalidField, LoadFailed
from scripts import environments
from tests.conftest import Models
from tests.support import depth_engines, worker_process
from tests.support.depth_engines import (
    CAMERA,
    OTHER,
    PICTURE,
    TALL,
    answers,
    cloud,
    cloud_item,
    depth,
    depth_item,
    values,
    whole,
)
from tests.support.odd_images import encoded
from workers.engine import Device
from workers.registry import find_engine

FOLDER = environments.folder_of("depth-anything-3")
PACKAGES = next(FOLDER.glob("lib/python*/site-packages"), None)
NAMES = ("da3_tiny", "da3metric_tiny", "da3nested_tiny")
SIDE = 70
CLOSE = 1e-5
"""How far off a depth may be, of the largest one."""

needs_the_package = pytest.mark.skipif(PACKAGES is None, reason="`make env-depth-anything-3` makes what this needs")

Engine3 = Callable[..., Any]


@pytest.fixture(scope="module")
def package() -> Iterator[None]:
    """The environment's own packages, after those of the house."""
    sys.path.append(str(PACKAGES))
    try:
        yield
    finally:
        sys.path.remove(str(PACKAGES))


@pytest.fixture(scope="module")
def registered(package: None, models: Models) -> None:
    """Networks of the library, with ours among them."""
    from depth_anything_3.registry import MODEL_REGISTRY

    from scripts.testbed.models import depth3

    for name in NAMES:
        depth3.register(models(name), MODEL_REGISTRY)


@pytest.fixture(scope="module")
def engine3(registered: None, models: Models) -> Engine3:
    return cache(lambda name, **options: depth_engines.load(models(name), **options))


@pytest.fixture(scope="module")
def library(registered: None, models: Models) -> Callable[..., Any]:
    """What the library says of one picture, its network and its processor called directly."""
    from scripts.testbed.models import depth3

    network = cache(lambda name: depth3.network(models(name)))

    def ask(name: str, image: Image.Image, shorter: int = SIDE) -> Any:
        import torch
        from depth_anything_3.utils.io.input_processor import InputProcessor

        pixels, _, _ = InputProcessor()(
            [image], process_res=shorter, process_res_method="lower_bound_resize", sequential=True
        )
        with torch.inference_mode():
            return network(name)(pixels[None])

    return ask


def at_full_size(depth: Any, image: Image.Image) -> Any:
    import torch

    size = image.height, image.width
    return torch.nn.functional.interpolate(depth, size=size, mode="bilinear").numpy()[0, 0]


def off(found: Any, expected: Any) -> float:
    found = found if isinstance(found, np.ndarray) else values(found)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@needs_the_package
@pytest.mark.parametrize("name", NAMES)
def test_depth_matches_the_package_alone_and_batched(name: str, engine3: Engine3, library: Callable[..., Any]) -> None:
    engine = engine3(name)
    pictures = [PICTURE, OTHER, TALL]
    alone, together = (
        whole(engine, depth(*some, model_input_size=SIDE, confidence=name != "da3metric_tiny"))
        for some in ([PICTURE], pictures)
    )
    for item, picture in zip([*alone.data, *together.data], [PICTURE, *pictures], strict=True):
        expected = library(name, picture)
        assert (item.kind, item.unit) == ("depth", "metre" if name == "da3nested_tiny" else "relative")
        assert off(item.depth, at_full_size(expected["depth"], picture)) < CLOSE
        if name != "da3metric_tiny":
            assert off(item.confidence, at_full_size(expected["depth_conf"], picture)) < CLOSE
    assert off(together.data[1].depth, values(alone.data[0].depth)) > 1e-3


@needs_the_package
def test_intrinsics_are_in_pixels_of_the_whole_image(engine3: Engine3, library: Callable[..., Any]) -> None:
    for picture in (PICTURE, TALL):
        expected = library("da3_tiny", picture)
        rows, columns = expected["depth"].shape[-2:]
        matrix = expected["intrinsics"][0, 0]
        camera = depth_item(engine3("da3_tiny"), picture, model_input_size=SIDE).camera_intrinsics
        assert camera.fx == pytest.approx(float(matrix[0, 0]) * picture.width / columns, rel=1e-4)
        assert camera.fy == pytest.approx(float(matrix[1, 1]) * picture.height / rows, rel=1e-4)
        assert (camera.cx, camera.cy) == (picture.width / 2, picture.height / 2)


@needs_the_package
def test_point_cloud_uses_given_or_predicted_intrinsics(engine3: Engine3) -> None:
    own, given = (
        cloud_item(engine3("da3_tiny"), model_input_size=SIDE, confidence=True, **more)
        for more in ({}, {"camera_intrinsics": CAMERA})
    )
    assert given.camera_intrinsics.model_dump() == CAMERA
    assert own.unit == "relative"
    assert own.confidence.shape == (60, 80)
    for item in (own, given):
        x, y, z = values(item.points)[59 * 80 + 3]
        camera = item.camera_intrinsics
        assert (x, y) == pytest.approx(((3 - camera.cx) * z / camera.fx, (59 - camera.cy) * z / camera.fy), rel=1e-4)


@needs_the_package
def test_intrinsics_turn_metric_output_into_metres(engine3: Engine3, library: Callable[..., Any]) -> None:
    """depth = focal length x output / 300, with the focal length at the size that the network sees."""
    item = depth_item(engine3("da3metric_tiny"), model_input_size=SIDE, camera_intrinsics=CAMERA)
    expected = library("da3metric_tiny", PICTURE)["depth"]
    rows, columns = expected.shape[-2:]
    focal = (CAMERA["fx"] * columns / 80 + CAMERA["fy"] * rows / 60) / 2
    assert item.unit == "metre"
    assert off(item.depth, at_full_size(expected, PICTURE) * focal / 300) < CLOSE
    [error] = answers(engine3("da3metric_tiny"), cloud(PICTURE, model_input_size=SIDE))
    assert isinstance(error, InvalidField)
    assert error.param == "camera_intrinsics"


@needs_the_package
@pytest.mark.parametrize("size", [(80, 60), (1200, 31), (1200, 30), (33, 900), (600, 500), (1, 1)], ids=str)
def test_input_sizes_match_the_package(size: tuple[int, int], engine3: Engine3) -> None:
    from depth_anything_3.utils.io.input_processor import InputProcessor

    estimator = engine3("da3_tiny")._estimator
    picture = PICTURE.resize(size)
    for shorter in (28, 30):
        pixels, _, _ = InputProcessor()([picture], process_res=shorter, process_res_method="lower_bound_resize")
        assert estimator.input_size(*size, shorter) == pixels.shape[-2:]
    rows, columns = estimator.input_size(*size, None)
    if min(size) * 504 >= 14 * max(size):  # of thinner ones the package makes less than a patch
        pixels, _, _ = InputProcessor()([picture])
        assert (rows, columns) == pixels.shape[-2:]
    assert min(rows, columns) >= 14


@needs_the_package
def test_image_of_only_sky_fails_alone(engine3: Engine3) -> None:
    engine = engine3("da3nested_tiny")
    sky = engine._estimator._network.da3_metric.head.scratch.sky_output_conv2[2].bias.data
    look, usual = engine._estimator._network.forward, sky.clone()
    calls: list[int] = []

    def first_sees_sky(views: Any) -> Any:
        sky.copy_(usual if calls else usual + 5)
        calls.append(1)
        return look(views)

    engine._estimator._network.forward = first_sees_sky
    try:
        refused, fine = answers(engine, depth(PICTURE, model_input_size=SIDE), depth(OTHER, model_input_size=SIDE))
    finally:
        del engine._estimator._network.forward
    assert isinstance(refused, BadImage)
    assert "only sky" in refused.message
    assert len(fine.data) == 1


@needs_the_package
def test_half_precision_is_close_to_full(engine3: Engine3, models: Models) -> None:
    half = depth_engines.load(models("da3_tiny"), dtype="bfloat16")
    exact, close = (depth_item(one, model_input_size=SIDE) for one in (engine3("da3_tiny"), half))
    assert off(close.depth, values(exact.depth)) < 0.05
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
    """As `python` in an entry has it, with a network of the library's own: there nobody has registered ours."""
    folder = models("da3_small")
    exact = depth_item(depth_engines.load(folder), model_input_size=28)
    entry = {"engine": "depth_anything", "source": str(folder), "python": str(FOLDER / "bin" / "python")}
    body = {"image": base64.b64encode(encoded(PICTURE)).decode(), "model_input_size": 28}
    with worker_process.worker({**entry, "options": {"threads": 1}}) as worker:
        answer = worker.post("/v1/vision/depth", body, accept="application/octet-stream")
    assert answer.status_code == 200
    assert off(np.frombuffer(answer.content, "<f4").reshape(60, 80), values(exact.depth)) < CLOSE
