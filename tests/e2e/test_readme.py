"""The examples of README and docs, run as printed against a server with the configuration that ships."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

from scripts.demo_models.__main__ import build
from scripts.testbed.server import RunningServer
from tests.support.doc_examples import Block, run_example
from tests.support.doc_table import SHIPPED_EXAMPLES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PRINTS = {
    "Chat": {"bash": '"object":"chat.completion"', "python": " "},
    "Embeddings": {"bash": '"embedding":[', "python": "128 "},
    "OCR": {"bash": "Open at nine", "python": "Open at nine"},
    "Image generation": {"bash": '"b64_json":"iVBOR', "python": ""},
}
"""What each example of the README prints."""
OF_PAGES = {"Jobs": {"bash": '"status": "completed"'}, "Batches": {"python": "request-2"}}
"""What examples of other pages print."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("readme")
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())
    for kind in ("chat", "image"):
        build(folder / "data" / "demo-models", kind)
    with RunningServer(folder, shipped["models"]) as server:
        yield server


def test_every_task_has_both_examples() -> None:
    readme = [(block.title, block.language) for block in SHIPPED_EXAMPLES if block.page == "README.md"]
    assert readme == [(title, language) for title in PRINTS for language in ("bash", "python")]


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in SHIPPED_EXAMPLES])
def test_example_prints_what_it_promises(server: RunningServer, tmp_path: Path, block: Block) -> None:
    printed = run_example(block.language, block.text, server.url, tmp_path)
    assert {**PRINTS, **OF_PAGES}.get(block.title, {}).get(block.language, "") in printed
    for path in re.findall(r'Path\("(\w+\.png)"\)\.write_bytes', block.text):
        with Image.open(tmp_path / path) as image:
            assert image.size == ((128, 128) if block.page == "README.md" else (640, 480))


def test_error_shown_is_the_real_one(server: RunningServer) -> None:
    shown = json.loads(re.findall(r"(?s)```json\n(.*?)```", README)[0])["error"]
    real = server.chat("gpt-4").json()["error"]
    assert shown.keys() == real.keys()
    same = ("message", "type", "code", "param")
    assert {key: shown[key] for key in same} == {key: real[key] for key in same}


def test_smallest_entry_is_valid() -> None:
    from contract.config import Settings

    settings = yaml.safe_load(re.findall(r"(?s)```yaml\n(.*?)```", README)[0])
    assert Settings.model_validate(settings).models[0].id == "smolvlm"


def test_catalogue_shows_configured_and_downloaded_models(server: RunningServer) -> None:
    rows = {row["id"]: row for row in server.get("/api/models").json()["models"]}
    assert rows["minilm"].items() >= {"configured": "minilm", "downloaded": True, "dimensions": 384}.items()
    assert rows["demo-chat"].items() >= {"configured": "demo-chat", "downloaded": True, "licence": None}.items()
    assert rows["sam3"].items() >= {"configured": "sam3", "gated": True, "state": "stopped"}.items()
    assert rows["siglip"]["configured"] is None
    assert server.get("/api/models/sam-3").status_code == 404
