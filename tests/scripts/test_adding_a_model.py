"""Follows docs/adding-a-model.md step by step: the error, the file, the entry, the tiny model, the comparison."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from contract.config import ModelSpec
from contract.errors import LoadFailed, UnsupportedFeature
from contract.tasks.features import FeaturesRequest
from tests.support.odd_images import encoded
from workers import describe, engines
from workers.engine import Call, Device
from workers.registry import find_engine

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-model.md").read_text()
FILE, BUILDER = re.findall(r"(?s)```python\n(.*?)```", PAGE)
ENTRY = yaml.safe_load(re.findall(r"(?s)```yaml\n(.*?)```", PAGE)[0])["models"][0]
CPU = Device("cpu", "float32")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model that the page builds."""
    folder = tmp_path_factory.mktemp("vit")
    namespace: dict[str, Any] = {}
    exec(compile(BUILDER, "scripts/testbed/models/vit.py", "exec"), namespace)
    namespace["build_vit"](folder)
    return folder


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts the page's engine into workers/engines for the length of a test."""
    (tmp_path / "vit.py").write_text(FILE)
    monkeypatch.setattr(engines, "__path__", [*engines.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield
    sys.modules.pop("workers.engines.vit", None)


def entry(source: Path, **fields: Any) -> ModelSpec:
    return ModelSpec.model_validate({**ENTRY, "source": str(source), "options": {"threads": 1}, **fields})


def image(color: str) -> Image.Image:
    result = Image.new("RGB", (48, 40), "white")
    ImageDraw.Draw(result).rectangle((5, 8, 30, 25), fill=color)
    return result


def call(*colors: str, **fields: Any) -> Call[FeaturesRequest]:
    return Call(FeaturesRequest.model_validate({"images": [encoded(image(c)) for c in colors], **fields}))


def test_error_for_unknown_family_names_the_page(source: Path) -> None:
    with pytest.raises(LoadFailed, match=r"type 'vit', which no engine serves.*docs/adding-a-model\.md"):
        find_engine("dino")().load(entry(source, engine="dino"), CPU)


@pytest.mark.usefixtures("added")
def test_entry_is_valid(source: Path) -> None:
    offer = describe.entry(ModelSpec.model_validate(ENTRY))
    assert offer["error"] is None
    assert offer["tasks"] == ["features"]


@pytest.mark.usefixtures("added")
def test_vectors_equal_the_librarys(source: Path) -> None:
    engine: Any = find_engine("vit")()
    engine.load(entry(source), CPU)
    import torch
    from transformers import AutoImageProcessor, AutoModel

    processor, model = AutoImageProcessor.from_pretrained(source), AutoModel.from_pretrained(source).eval()
    inputs = processor([image("red"), image("blue")], return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs).pooler_output.numpy()

    answers = [answer for _, answer in engine.answer([call("red"), call("red", "blue"), call("red", patches=True)])]
    single = next(answer for answer in answers if not isinstance(answer, Exception) and len(answer.data) == 1)
    double = next(answer for answer in answers if not isinstance(answer, Exception) and len(answer.data) == 2)
    assert np.allclose(single.data[0].pooled.as_json(), expected[0], atol=1e-5)
    assert np.allclose([item.pooled.as_json() for item in double.data], expected, atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [UnsupportedFeature]
