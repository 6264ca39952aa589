"""What engines make of extreme images: whatever the shape, preparing an image takes a bounded amount of memory."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract.config import ModelSpec
from contract.errors import EngineFailed
from contract.media import data_uri
from tests.conftest import Models
from tests.support.engine_cases import Case, ask, chat, detect, segment
from tests.support.peak_memory import peak, reset
from tests.workers.engines.test_engine_contract import CASES
from workers.engine import Device
from workers.registry import find_engine

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux has the high-water mark")

MIB = 2**20
SIZES = {"wide": (16_000, 80), "tall": (80, 16_000), "large": (2500, 2500)}
BYTES_PER_PIXEL = 40
"""Processors scale images after they have converted them to three float32 channels, sometimes twice."""
FIXED = 800 * MIB
"""For what does not depend on the image: squares of the processor's own size, and what libraries keep."""
SIMILAR = {"pointcloud", "image-variation"}
"""Tasks that prepare images like another one of their engine."""


def case(engine: str, task: str, model: str, body: dict[str, Any] | None = None, **options: Any) -> Case:
    body = {} if body is None else body
    return Case(engine, task, body, body, body, model=model, options=options)


MORE = [
    *(case("transformers_chat", "chat", family, chat("", max_tokens=1))
      for family in ("qwen2_5_vl", "qwen3_vl", "smolvlm", "idefics3", "llava", "gemma3")),
    *(case("mlx", "chat", family, chat("", max_tokens=1)) for family in ("mlx_smolvlm", "mlx_qwen2_5_vl")),
    *(case("sentence_transformers", "embeddings", family) for family in ("clip", "siglip")),
    *(case("transformers_ocr", "ocr", family, max_tokens=2) for family in ("florence2", "got_ocr2", "paddleocr_vl")),
    *(case("transformers_segment", "segment", family, segment(30, 0.5)) for family in ("sam", "sam3")),
    *(case("depth_anything", "depth", family) for family in ("depth_relative", "depth_pro", "zoedepth")),
    case("transformers_detect", "detect", "owlv2", detect("cat")),
    case("transformers_detect", "detect", "detr", {}),
    case("dino", "features", "dinov3"),
]  # fmt: skip
TOO_SMALL = {"grounding_dino", "detr"}
"""Models whose tiny processors scale strips to nothing; real ones scale them to six pixels."""
WITH_IMAGES = [case for case in CASES if "image" in case.first and case.task not in SIMILAR] + MORE


def blank(size: tuple[int, int]) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, "white").save(file, "PNG")
    return data_uri(file.getvalue())


IMAGES = {name: blank(size) for name, size in SIZES.items()}


def with_image(case: Case, uri: str) -> dict[str, Any]:
    if case.task != "chat":
        return {**case.first, "image": uri}
    content = [{"type": "image_url", "image_url": {"url": uri}}, {"type": "text", "text": "?"}]
    return {**case.first, "messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize("case", WITH_IMAGES, ids=lambda case: f"{case}-{case.model}")
async def test_extreme_images_take_bounded_memory(case: Case, models: Models, model_code: None) -> None:
    tasks = [case.task] if case.task in find_engine(case.engine).opt_in_tasks else []
    entry = {"id": "case", "engine": case.engine, "tasks": tasks, "trust_remote_code": case.trusted}
    source = str(models(case.model)) if case.model else ""
    engine = find_engine(case.engine)()
    engine.load(
        ModelSpec.model_validate({**entry, "source": source, "options": case.options}), Device("cpu", "float32")
    )
    for name, (width, height) in SIZES.items():
        before = reset(os.getpid())
        [answer] = await ask(engine, case, with_image(case, IMAGES[name]))
        growth = peak(os.getpid()) - before
        assert not isinstance(answer, EngineFailed) or case.model in TOO_SMALL, answer
        print(f"{case} {case.model} {name}: {growth // MIB} MiB, {str(answer)[:100]}")
        assert growth < FIXED + BYTES_PER_PIXEL * width * height, name
