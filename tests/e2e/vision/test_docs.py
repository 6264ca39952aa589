"""The examples of the docs that need models which are downloaded: tiny ones of the same families take their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.testbed.server import RunningServer
from tests.support.doc_examples import Block, run_example
from tests.support.doc_table import STAND_IN_EXAMPLES

PRINTS = {
    ("Detection", "bash"): '"detections":',
    ("Detection", "python"): " found",
    ("Segmentation", "bash"): '"polygons":',
    ("Segmentation", "python"): " found",
    ("Depth and point clouds", "bash"): "x-array-shape: 480,640",
    ("Depth and point clouds", "python"): "(307200, 3) uint8",
    ("Features", "python"): "32 ",
    ("Depth Anything V2 server", "python"): "(480, 640) ",
    ("Vision models server", "python"): "person [",
    ("Homelab AI Services API", "bash"): '"embeddings":',
    ("Ollama API", "bash"): '"done":true',
    ("Rerank", "bash"): '"relevance_score":',
    ("Rerank", "python"): "A cat sleeps on the sofa.",
}
"""What the examples print, by section and language. All others print something, too."""


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in STAND_IN_EXAMPLES])
def test_example_prints_what_it_promises(server: RunningServer, tmp_path: Path, block: Block) -> None:
    printed = run_example(block.language, block.text, server.url, tmp_path)
    assert printed.strip()
    assert PRINTS.get((block.title, block.language), "") in printed
