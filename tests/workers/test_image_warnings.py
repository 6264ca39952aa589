"""What is ignored in an image becomes a warning of the answer, whole or streamed, once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from contract.config import ModelSpec
from contract.image_loading import open_image
from contract.media import data_uri, images_in
from contract.tasks.chat import CHAT, ChatChunk, ChunkChoice, Delta
from contract.tasks.ocr import OCR, OcrItem, OcrResponse
from contract.tasks.vision import VisionUsage
from scripts.testbed.images import drawing, file
from workers.app import App
from workers.batchers import Batchers
from workers.engine import Call, Device, Engine, Output, serves

IMAGE = data_uri(file(drawing(), "PNG", icc_profile=b"broken"))
WARNING = "The image's colour profile is ignored: it is damaged. Colours may differ slightly."


class Looker(Engine):
    """Opens all images, and says nothing of interest."""

    def load(self, spec: ModelSpec, device: Device) -> None:
        pass

    @serves(OCR)
    def read(self, calls: list[Call[Any]]) -> Iterator[tuple[Call[Any], Output]]:
        for call in calls:
            images = [open_image(image) for image in images_in(call.request)]
            items = [OcrItem(index=0, width=1, height=1, text="a", lines=[]) for _ in images]
            yield call, OcrResponse(model="m", data=items, usage=VisionUsage(images=len(items), latency=0))

    @serves(CHAT)
    def chat(self, calls: list[Call[Any]]) -> Iterator[tuple[Call[Any], Output]]:
        for call in calls:
            for image in images_in(call.request):
                open_image(image)
            for word in ("a", "b"):
                choice = ChunkChoice(index=0, delta=Delta(content=word))
                yield call, ChatChunk(id="c", created=0, model="m", choices=[choice])
            yield call, None


@pytest.fixture(name="worker")
def _worker() -> Iterator[httpx2.AsyncClient]:
    engine = Looker()
    batchers = Batchers(engine, Looker.Options(), lambda: None)
    thread = threading.Thread(target=batchers.model.run)
    thread.start()
    app = App(engine, ModelSpec(id="m", engine="fake"), batchers, "secret", lambda: None)
    headers = {"authorization": "Bearer secret"}
    yield httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://w", headers=headers)
    batchers.stop()
    thread.join(30)


async def test_whole_answer_has_a_warning_for_each_kind_of_image(worker: httpx2.AsyncClient) -> None:
    answer = await worker.post(OCR.path, json={"images": [IMAGE, IMAGE]})
    assert answer.json()["warnings"] == [WARNING]


async def test_first_chunk_has_the_warning(worker: httpx2.AsyncClient) -> None:
    content = [{"type": "image_url", "image_url": {"url": IMAGE}}]
    body = {"messages": [{"role": "user", "content": content}], "stream": True}
    answer = await worker.post(CHAT.path, json=body)
    chunks = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n")[:2]]
    assert [chunk.get("warnings") for chunk in chunks] == [[WARNING], None]
