"""The translations of the Depth Anything V2 server's API: models, defaults, ranges, fields."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contract.errors import ModelNotFound
from contract.status import ModelStatus
from contract.tasks.depth import DEPTH, DepthItem, DepthMap, DepthResponse
from contract.tasks.pointcloud import POINTCLOUD, PointcloudItem, PointcloudResponse, Points
from contract.tasks.vision import VisionUsage
from gateway.dialects.depth_anything_v2 import DEPTH_ANYTHING_V2
from gateway.dialects.dialect import TaskAnswer
from gateway.forwarding.model_table import ModelTable
from tests.support.seed_examples import DEPTH_SERVER, IMAGE, as_printed

ROUTES = {route.path: route for route in DEPTH_ANYTHING_V2.routes}
CAMERA = {"fx": 1.0, "fy": 2.0, "cx": 3.0, "cy": 4.0}
INDOOR = "depth-anything/Depth-Anything-V2-Metric-Indoor-Base-hf"
MODELS = ModelTable(
    [
        ModelStatus(id="large", engine="depth_anything", tasks=("depth", "pointcloud"), aliases=("vitl-hypersim",)),
        ModelStatus(id="mine", engine="depth_anything", tasks=("depth", "pointcloud"), source=INDOOR),
    ]
)
MODEL = MODELS.get("large")
USAGE = VisionUsage(images=1, latency=0.1)


def query(path: str, **fields: Any) -> Any:
    route = ROUTES[path]
    camera = {"camera_intrinsics": CAMERA} if path == "/pc" else {}
    [asked] = route.to_task(route.request.model_validate({"image": IMAGE, **camera, **fields}), MODELS)
    return asked


@pytest.mark.parametrize(("path", "task"), [("/pc", POINTCLOUD), ("/metric_depth", DEPTH), ("/rel_depth", DEPTH)])
def test_defaults_are_those_of_the_api(path: str, task: Any) -> None:
    asked = query(path)
    assert asked.task is task
    request = asked.request
    assert (request.model, request.max_depth, request.model_input_size) == ("large", 1.0, 518)
    assert (request.image.value, request.encoding_format, request.format) == (IMAGE, "base64", "float32")
    printed = ROUTES[path].request.model_validate(as_printed(DEPTH_SERVER[path]))
    assert printed.warnings() == []
    assert ROUTES[path].to_task(printed, MODELS)[0].request.model == "large"


def test_fields_reach_the_task() -> None:
    asked = query("/pc", max_depth=20, model_input_size=252, encoder="vitb").request
    assert (asked.model, asked.max_depth, asked.model_input_size) == ("mine", 20.0, 252)
    assert asked.camera_intrinsics.model_dump() == CAMERA
    assert query("/rel_depth", max_depth=20).request.max_depth == 1.0, "relative depth ends at 1"


def test_model_that_is_not_configured_is_named() -> None:
    with pytest.raises(ModelNotFound, match="make models MODEL=depth-outdoor-small") as error:
        query("/metric_depth", encoder="vits", dataset="vkitti")
    assert error.value.param == "model"
    assert ROUTES["/metric_depth"].fields == {"model": "encoder"}


@pytest.mark.parametrize(
    ("path", "fields", "wrong"),
    [
        ("/metric_depth", {"encoder": "vitg"}, "encoder"),
        ("/metric_depth", {"dataset": "nyu"}, "dataset"),
        ("/metric_depth", {"max_depth": 0}, "max_depth"),
        ("/metric_depth", {"max_depth": "far"}, "max_depth"),
        ("/metric_depth", {"model_input_size": 13}, "model_input_size"),
        ("/metric_depth", {"model_input_size": 4097}, "model_input_size"),
        ("/pc", {"camera_intrinsics": None}, "camera_intrinsics"),
        ("/pc", {"camera_intrinsics": {**CAMERA, "fx": 0}}, "camera_intrinsics"),
        ("/rel_depth", {"image": None}, "image"),
    ],
)
def test_wrong_fields_are_named(path: str, fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as error:
        query(path, **fields)
    assert error.value.errors()[0]["loc"][0] == wrong


def test_answers_have_the_fields_of_the_api() -> None:
    size = {"index": 0, "width": 3, "height": 2, "unit": "metre", "min": 0.1, "max": 0.9}
    depth = DepthMap(format="float32", shape=(2, 3), data="d")
    shared: dict[str, Any] = {"model": "large", "usage": USAGE}
    answer = DepthResponse(data=[DepthItem(kind="depth", depth=depth, **size)], **shared)
    expected = {"depth_map": "d", "shape": [2, 3], "min": 0.1, "max": 0.9}
    for path in ("/metric_depth", "/rel_depth"):
        assert ROUTES[path].from_task(None, [TaskAnswer(answer, MODEL)]).model_dump(mode="json") == expected

    points = Points(format="float32", shape=(6, 3), data="p")
    item = PointcloudItem(points=points, depth=depth, camera_intrinsics=CAMERA, **size)
    cloud = ROUTES["/pc"].from_task(None, [TaskAnswer(PointcloudResponse(data=[item], **shared), MODEL)])
    assert cloud.model_dump(mode="json") == {
        "pointcloud": "p",
        "pointcloud_shape": [6, 3],
        "depth_map": "d",
        "depth_shape": [2, 3],
        "min": 0.1,
        "max": 0.9,
    }
