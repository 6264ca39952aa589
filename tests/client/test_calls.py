"""What the calls send, and how they read answers with arrays, written as the server writes them."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from client import calls
from client.call import ApiCall
from contract.arrays import Array, as_png
from contract.tasks.crawl import CrawlRequest, CrawlResponse, PageMetadata
from contract.tasks.depth import DepthItem, DepthMap, DepthRequest, DepthResponse, Intrinsics
from contract.tasks.detect import Detection, DetectItem, DetectRequest, DetectResponse
from contract.tasks.features import FeaturesItem, FeaturesRequest, FeaturesResponse, Patches
from contract.tasks.image_edit import ImageEditRequest
from contract.tasks.image_variation import ImageVariationRequest
from contract.tasks.pointcloud import Colors, PointcloudItem, PointcloudRequest, PointcloudResponse, Points
from contract.tasks.segment import Mask, Segment, SegmentItem, SegmentRequest, SegmentResponse
from contract.tasks.vision import VisionUsage
from tests.support.odd_images import drawing, encoded

USAGE = VisionUsage(images=1, latency=0.1)
SIZE = {"index": 0, "width": 3, "height": 2}
DEPTH = np.arange(6, dtype="<f4").reshape(2, 3)
IMAGE = encoded(drawing())


def read(call: ApiCall[Any], request: type[BaseModel], response: BaseModel) -> Any:
    """Check that the server accepts what the call sends, and read the answer that it would write."""
    request.model_validate(json.loads(json.dumps(call.body)))
    return call.decode(json.loads(response.model_dump_json()))


def test_detections_have_boxes() -> None:
    item = DetectItem(**SIZE, detections=[Detection(label="cat", score=0.5, box=(0, 1, 2, 2))])
    call = calls.vision.detect(IMAGE, ["cat"], box_threshold=0.3)
    (cat,) = read(call, DetectRequest, DetectResponse(model="m", data=[item], usage=USAGE))
    assert (cat.label, cat.score, cat.box) == ("cat", 0.5, (0, 1, 2, 2))


def test_segments_have_masks_of_bool() -> None:
    mask = np.array([[0, 255, 255], [0, 0, 255]], np.uint8)
    png = Mask(format="dense", size=(2, 3), png=Array.from_numpy(mask, as_png))
    segment = Segment(prompt=0, label="cat", score=0.9, box=(1, 0, 3, 2), area=3, mask=png)
    answer = SegmentResponse(model="m", data=[SegmentItem(**SIZE, segments=[segment])], usage=USAGE)
    (found,) = read(calls.vision.segment(IMAGE, "cat"), SegmentRequest, answer)
    assert found.mask.dtype == bool
    assert (found.mask == (mask > 0)).all()
    assert found.area == 3


def test_depth_is_float32() -> None:
    depth = DepthMap(format="float32", shape=(2, 3), data=Array.from_numpy(DEPTH))
    item = DepthItem(**SIZE, kind="depth", unit="metre", min=0, max=5, depth=depth)
    answer = read(
        calls.vision.depth(IMAGE, max_depth=20), DepthRequest, DepthResponse(model="m", data=[item], usage=USAGE)
    )
    assert (answer.depth == DEPTH).all()
    assert (answer.unit, answer.max, answer.confidence) == ("metre", 5, None)


def test_points_and_their_colours_are_arrays() -> None:
    camera = {"fx": 1.0, "fy": 1.0, "cx": 0.0, "cy": 0.0}
    points, colors = DEPTH, np.arange(6, dtype=np.uint8).reshape(2, 3)
    item = PointcloudItem(
        **SIZE,
        unit="metre",
        min=0,
        max=5,
        points=Points(format="float32", shape=(2, 3), data=Array.from_numpy(points)),
        colors=Colors(shape=(2, 3), data=Array.from_numpy(colors)),
        camera_intrinsics=Intrinsics(**camera),
    )
    call = calls.vision.pointcloud(IMAGE, camera, colors=True)
    cloud = read(call, PointcloudRequest, PointcloudResponse(model="m", data=[item], usage=USAGE))
    assert (cloud.points == points).all()
    assert (cloud.colors == colors).all()
    assert cloud.camera_intrinsics == camera


def test_vectors_of_images_are_float32() -> None:
    patches = np.arange(12, dtype="<f4").reshape(2, 3, 2)
    item = FeaturesItem(
        **SIZE,
        dimensions=2,
        pooled=Array.from_numpy(patches[0, 0].copy()),
        patches=Patches(shape=(2, 3, 2), data=Array.from_numpy(patches)),
    )
    call = calls.vision.features(IMAGE, patches=True)
    vectors = read(call, FeaturesRequest, FeaturesResponse(model="m", data=[item], usage=USAGE))
    assert (vectors.pooled == patches[0, 0]).all()
    assert (vectors.patches == patches).all()


def test_pages_have_the_bytes_of_their_screenshot() -> None:
    page = CrawlResponse(
        model="crawl",
        url="http://127.0.0.1/",
        status=200,
        title="A page",
        text="Hello",
        format="text",
        metadata=PageMetadata(language="en"),
        screenshot_base64=base64.b64encode(IMAGE).decode(),
        fetch_time_ms=3,
    )
    answer = read(calls.pages.crawl("http://127.0.0.1/", screenshot=True), CrawlRequest, page)
    assert answer.screenshot == IMAGE
    assert answer.metadata["language"] == "en"


def test_edits_and_variations_send_images() -> None:
    edit = calls.drawing.edit_image([IMAGE, drawing()], "in winter", mask=IMAGE, strength=0.5)
    assert edit.body is not None
    assert len(ImageEditRequest.model_validate(dict(edit.body)).all_images) == 2
    variation = calls.drawing.vary_image(drawing(), n=2)
    assert ImageVariationRequest.model_validate(dict(variation.body or {})).n == 2


def test_urls_are_sent_as_they_are(tmp_path: Any) -> None:
    url = "http://127.0.0.1/photo.jpg"
    assert (calls.vision.caption(url).body or {})["image"] == url
    body = calls.chat.chat("What is this?", images=[url, IMAGE]).body or {}
    _, first, second = body["messages"][0]["content"]
    assert first["image_url"]["url"] == url
    assert second["image_url"]["url"].startswith("data:image/png;base64,")
    with pytest.raises(FileNotFoundError):
        calls.vision.caption(tmp_path / "missing.jpg")


def test_fields_of_newer_servers_are_ignored() -> None:
    row = {"id": "m", "tasks": ["chat"], "engine": "fake", "state": "ready", "new_field": 1}
    model = calls.models.get_model("m").decode(row)
    assert (model.id, model.raw["new_field"]) == ("m", 1)
