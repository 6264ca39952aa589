"""The translations of the vision models server's API: images, prompts, formats, defaults and ranges."""

from __future__ import annotations

import base64
import random
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from contract.errors import InvalidField, ModelNotFound, UnsupportedFeature
from contract.status import ModelStatus, Status
from contract.tasks import all_tasks
from gateway.dialects.dialect import TaskAnswer
from gateway.dialects.vision_models import VISION_MODELS
from gateway.dialects.vision_models.management import from_status
from gateway.dialects.vision_models.request import shared_fields
from gateway.dialects.vision_models.segmentation import run_lengths
from gateway.forwarding.model_table import ModelTable
from gateway.routes.models import entry
from tests.support.seed_examples import IMAGE, VISION_SERVER, as_printed

ROUTES = {route.path.removeprefix("/inference/"): route for route in VISION_MODELS.routes}
MODELS = ModelTable(
    ModelStatus(id=id_, engine="e", tasks=(task,), source=source)
    for id_, task, source in (
        ("sam3", "segment", "facebook/sam3"),
        ("grounding-dino", "detect", "IDEA-Research/grounding-dino-tiny"),
        ("mine", "detect", "IDEA-Research/grounding-dino-base"),
        ("depth-anything-v3", "depth", "depth-anything/DA3-BASE"),
        ("dinov3", "features", ""),
    )
)


def asked(path: str, **fields: Any) -> Any:
    route = ROUTES[path]
    prompts = {"prompts": ["person"]} if path in {"sam3", "grounding-dino"} else {}
    [query] = route.to_task(route.request.model_validate({"images": [IMAGE], **prompts, **fields}), MODELS)
    return query.request


def answered(path: str, task: str, items: list[dict[str, Any]], **fields: Any) -> Any:
    """The API's answer, for these items of the task's response."""
    route = ROUTES[path]
    data = [{"index": index, "width": 4, "height": 3, **item} for index, item in enumerate(items)]
    body = {"model": "m", "usage": {"images": len(data), "latency": 0.5}, "data": data}
    model = next(model for model in MODELS.models if task in model.tasks)
    request = route.request.model_validate({"images": [IMAGE] * len(items), **fields})
    response = route.from_task(request, [TaskAnswer(all_tasks()[task].response.model_validate(body), model)])
    return response.model_dump(mode="json")


@pytest.mark.parametrize("name", [name for name in VISION_SERVER if name != "load"])
def test_printed_requests_are_understood_whole(name: str) -> None:
    route = ROUTES[name.split(maxsplit=1)[0]]
    request = route.request.model_validate(as_printed(VISION_SERVER[name]))
    assert request.warnings() == []
    [query] = route.to_task(request, MODELS)
    assert [image.value for image in query.request.images] == [IMAGE]


@pytest.mark.parametrize(
    "images",
    [
        IMAGE,
        [IMAGE],
        {"data": IMAGE},
        [{"data": IMAGE, "format": "base64"}],
        [f"data:image/png;base64,{IMAGE}"],
        [{"data": "https://example.com/image.jpg", "format": "url"}],
        ["https://example.com/image.jpg", IMAGE],
    ],
)
def test_images_may_be_texts_or_objects(images: Any) -> None:
    sent = [image.value for image in asked("dinov3", images=images).images]
    assert all(value.endswith((IMAGE, ".jpg")) for value in sent)
    assert len(sent) == (len(images) if isinstance(images, list) else 1)


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        ("sam3", {"images": []}, "images"),
        ("sam3", {"images": [{"data": IMAGE, "format": "png"}]}, "`base64` or `url`"),
        ("sam3", {"images": [{"data": IMAGE, "format": "url"}]}, "needs an http(s) URL"),
        ("sam3", {"images": [{"data": IMAGE, "kind": 1}]}, "and not `kind`"),
        ("sam3", {"threshold": 1.1}, "threshold"),
        ("sam3", {"mask_threshold": -0.1}, "mask_threshold"),
        ("sam3", {"output_format": "coco"}, "output_format"),
        ("sam3", {"resolve_overlaps": [-1]}, "resolve_overlaps"),
        ("grounding-dino", {"box_threshold": 2}, "box_threshold"),
        ("grounding-dino", {"text_threshold": 2}, "text_threshold"),
        ("grounding-dino", {"prompts": []}, "prompts"),
        ("grounding-dino", {"prompts": ["."]}, "none may be empty"),
        ("depth-anything", {"export_format": "obj"}, "export_format"),
        ("depth-anything", {"depth_format": "exr"}, "depth_format"),
        ("dinov3", {"features": []}, "features"),
        ("dinov3", {"encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_wrong_fields_are_named_with_what_is_right(path: str, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=r".*" + words.replace("(s)", r"\(s\)")):
        asked(path, **fields)


@pytest.mark.parametrize("field", ["boxes", "points"])
def test_boxes_and_points_are_refused_with_their_place(field: str) -> None:
    body = {"images": [IMAGE], "prompts": ["person"], field: [[10, 10, 60, 60]]}
    with pytest.raises(UnsupportedFeature, match="POST /v1/vision/segment takes") as error:
        ROUTES["sam3"].request.model_validate(body).refuse()
    assert error.value.param == field


@pytest.mark.parametrize("prompts", [[], [" "], [[]], [["a"], [""]], [["a"]], [["a"], ["b"], ["c"]]])
def test_prompts_must_fit_the_images(prompts: Any) -> None:
    with pytest.raises(InvalidField) as error:
        asked("sam3", prompts=prompts, images=[IMAGE] * 2)
    assert error.value.param == "prompts"


def test_segmentation_has_the_apis_defaults() -> None:
    request = asked("sam3", images=[IMAGE] * 2, prompts=["person", " car "])
    assert (request.model, request.format, request.threshold, request.mask_threshold) == ("sam3", "rle", 0.5, 0.5)
    assert request.resolve_overlaps is False
    assert [(prompt.image, prompt.text) for prompt in request.prompts] == [
        (0, "person"), (0, "car"), (1, "person"), (1, "car"),
    ]  # fmt: skip


def test_each_image_can_have_its_own_prompts() -> None:
    request = asked("sam3", images=[IMAGE] * 2, prompts=[["a", "b"], []], output_format="polygons")
    assert [(prompt.image, prompt.text) for prompt in request.prompts] == [(0, "a"), (0, "b")]
    assert request.format == "polygon"
    assert asked("sam3", prompts="person").prompts[0].text == "person"


def test_segments_are_grouped_by_image_and_prompt() -> None:
    def segment(prompt: int, score: float, mask: dict[str, Any]) -> dict[str, Any]:
        return {"prompt": prompt, "label": "x", "score": score, "box": [0, 0, 2, 2], "area": 4, "mask": mask}

    polygon = {"format": "polygon", "polygons": [[[0, 0], [2, 0], [2, 2]]]}
    items = [{"segments": [segment(0, 0.9, polygon), segment(0, 0.8, polygon), segment(1, 0.7, polygon)]}]
    answer = answered("sam3", "segment", [*items, {"segments": []}], prompts=["a", "b"], output_format="polygons")
    assert (answer["model_id"], answer["model"], answer["processing_time"]) == ("facebook/sam3", "sam3", 0.5)
    first, second = answer["results"]
    assert [(entry["prompt_index"], entry["prompt"]) for entry in first] == [(0, "a"), (1, "b")]
    assert first[0]["result"] == {
        "scores": [0.9, 0.8],
        "iou_scores": [0.9, 0.8],
        "boxes": [[0, 0, 2, 2]] * 2,
        "masks_polygon": [polygon["polygons"]] * 2,
    }
    assert [entry["result"]["scores"] for entry in second] == [[], []]

    dense = {"format": "dense", "pixels": [[0, 1], [1, 0]]}
    answer = answered("sam3", "segment", [{"segments": [segment(0, 0.9, dense)]}], prompts=["a"], output_format="dense")
    assert answer["results"][0][0]["result"]["masks"] == [[[0, 1], [1, 0]]]


def test_run_lengths_are_read_back_by_the_apis_clients() -> None:
    from pycocotools import mask as coco

    pixels = np.asfortranarray(np.random.default_rng(0).random((30, 40)) > 0.6).astype(np.uint8)
    rle = coco.encode(pixels)
    mask = {"format": "rle", "size": list(rle["size"]), "counts": rle["counts"].decode()}
    segment = {"prompt": 0, "label": "x", "score": 1.0, "box": [0, 0, 1, 1], "area": 1, "mask": mask}
    [[result]] = answered("sam3", "segment", [{"segments": [segment]}], prompts=["a"])["results"]
    [written] = result["result"]["masks_rle"]
    assert (written["encoding"], written["size"]) == ("rle", [30, 40])
    runs = np.frombuffer(zlib.decompress(base64.b64decode(written["counts"])), "<u4")
    values = np.zeros(len(runs), np.uint8)
    values[1::2] = 1
    assert (pixels == np.repeat(values, runs).reshape(40, 30).T).all()


def test_run_lengths_of_all_sizes_are_decoded() -> None:
    from pycocotools import mask as coco

    for seed in range(20):
        lengths = [random.Random(seed).randrange(1, 10**6) for _ in range(seed + 1)]
        rle = coco.frPyObjects({"size": [1, sum(lengths)], "counts": lengths}, 1, sum(lengths))
        assert run_lengths(rle["counts"].decode()) == lengths


def test_detection_has_the_apis_defaults_and_lists() -> None:
    request = asked("grounding-dino", prompts=["person", "traffic light"])
    assert (request.model, request.box_threshold, request.text_threshold) == ("grounding-dino", 0.4, 0.3)
    assert request.labels == ["person", "traffic light"]
    detections = [
        {"label": "car", "score": 0.8, "box": [1, 2, 3, 4]},
        {"label": "dog", "score": 0.5, "box": [0, 0, 1, 1]},
    ]
    answer = answered("grounding-dino", "detect", [{"detections": detections}], prompts=["car"])
    assert answer["results"] == [
        {
            "boxes": [[1, 2, 3, 4], [0, 0, 1, 1]],
            "scores": [0.8, 0.5],
            "labels": ["car", "dog"],
            "text_labels": ["car", "dog"],
        }
    ]


def test_model_id_may_be_a_hub_name() -> None:
    assert asked("grounding-dino", model_id="IDEA-Research/grounding-dino-base").model == "mine"
    assert asked("grounding-dino", model_id="grounding-dino-base").model == "mine", "the catalogue's name"
    with pytest.raises(ModelNotFound, match="make models MODEL=dinov3-small"):
        asked("dinov3", model_id="facebook/dinov3-vits16-pretrain-lvd1689m")


@pytest.mark.parametrize(
    ("form", "sent", "name"),
    [
        ("png", ("png16", "base64"), "png_base64"),
        ("float32", ("float32", "base64"), "float32_base64"),
        ("list", ("float32", "float"), "list"),
    ],
)
def test_depth_is_asked_for_in_the_form_that_is_sent(form: str, sent: tuple[str, str], name: str) -> None:
    request = asked("depth-anything", depth_format=form)
    assert (request.format, request.encoding_format) == sent
    camera = {"fx": 5, "fy": 6, "cx": 2, "cy": 1}
    depth = {"format": request.format, "shape": [3, 4], "data": "d", "scale": 0.1, "offset": 0.2}
    item = {"kind": "depth", "unit": "metre", "min": 0.2, "max": 2, "depth": depth, "camera_intrinsics": camera}
    answer = answered("depth-anything", "depth", [item], depth_format=form)
    assert (answer["depth_data"], answer["format"]) == ("d", name)
    assert answer["metadata"] == {
        "shape": [1, 3, 4], "kind": "depth", "unit": "metre", "min": 0.2, "max": 2.0, "scale": 0.1, "offset": 0.2,
        "intrinsics": [[[5, 0, 2], [0, 6, 1], [0, 0, 1]]],
    }  # fmt: skip
    assert "results" not in answer


def test_each_of_several_images_has_its_depth() -> None:
    def item(data: str) -> dict[str, Any]:
        depth = {"format": "png16", "shape": [3, 4], "data": data}
        return {"kind": "depth", "unit": "relative", "min": 0, "max": 1, "depth": depth}

    answer = answered("depth-anything", "depth", [item("a"), item("b")])
    assert (answer["depth_data"], answer["metadata"]["shape"]) == ("a", [2, 3, 4])
    assert [(each["depth_data"], each["metadata"]["shape"]) for each in answer["results"]] == [
        ("a", [1, 3, 4]), ("b", [1, 3, 4]),
    ]  # fmt: skip
    assert "intrinsics" not in answer["metadata"]


@pytest.mark.parametrize(("export_format", "warned"), [("glb", False), ("ply", True), ("gs_video", True)])
def test_other_export_formats_are_warned_about(export_format: str, warned: bool) -> None:
    request = ROUTES["depth-anything"].request.model_validate({"images": IMAGE, "export_format": export_format})
    assert any("`export_format` had no effect" in warning for warning in request.warnings()) == warned


def test_no_answer_shows_a_local_path() -> None:
    local = ModelStatus(id="mine", engine="dino", tasks=("features",), source="/srv/models/dino")
    assert shared_fields(TaskAnswer(SimpleNamespace(usage=SimpleNamespace(latency=1)), local))["model_id"] == "mine"
    status = Status(
        version="1", uptime=0, seq=0, waiting=0, leases=0, devices=[], workers=[],
        models=[local.model_copy(update={"aliases": ("dinov3",)})],
    )  # fmt: skip
    assert "/srv" not in from_status(None, status).model_dump_json()
    assert entry(local)["source"] == "dino"
    assert entry(local.model_copy(update={"source": "org/dino"}))["source"] == "org/dino"


def test_features_are_all_tokens_and_pooled() -> None:
    request = asked("dinov3")
    assert (request.pooled, request.tokens, request.patches, request.encoding_format) == (True, True, False, "float")
    only = asked("dinov3", features=["pooler_output"], normalize=True, encoding_format="base64")
    assert (only.pooled, only.tokens, only.normalize, only.encoding_format) == (True, False, True, "base64")

    item = {"dimensions": 2, "pooled": [1, 2], "tokens": {"shape": [3, 2], "data": [[1, 2], [3, 4], [5, 6]]}}
    answer = answered("dinov3", "features", [item, item])
    assert answer["features"] == {
        "last_hidden_state": [[[1, 2], [3, 4], [5, 6]]] * 2,
        "pooler_output": [[1, 2]] * 2,
        "last_hidden_state_shape": [2, 3, 2],
        "pooler_output_shape": [2, 2],
    }
    assert answer["model_id"] == "dinov3", "an entry without a source has its id"
    pooled = answered("dinov3", "features", [{"dimensions": 2, "pooled": "AA=="}])["features"]
    assert pooled == {"pooler_output": ["AA=="], "pooler_output_shape": [1, 2]}
