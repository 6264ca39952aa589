"""Every example of the README, run as it is printed there, against a house with the configuration that ships."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image, ImageDraw, ImageFont

from scripts.demo_models.__main__ import build
from scripts.testbed.server import House

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ADDRESS = "http://localhost:8000"
SHOWS = {
    "Chat": {"bash": '"object":"chat.completion"', "python": " "},
    "Embeddings": {"bash": '"embedding":[', "python": "128 "},
    "OCR": {"bash": "Open at nine", "python": "Open at nine"},
    "Image generation": {"bash": '"b64_json":"iVBOR', "python": ""},
}
"""What each example prints."""


def examples() -> list[tuple[str, str, str]]:
    """Heading, language and text of each example."""
    parts = re.split(r"(?m)^### (.+)$", README.split("## What there is")[0])[1:]
    sections = zip(parts[::2], parts[1::2], strict=True)
    return [
        (title, *block) for title, text in sections for block in re.findall(r"(?s)```(bash|python)\n(.*?)```", text)
    ]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("readme")
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())
    for kind in ("chat", "image"):
        build(folder / "data" / "demo-models", kind)
    with House(folder, shipped["models"]) as house:
        yield house


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the picture that the examples send."""
    picture = Image.new("RGB", (320, 80), "white")
    ImageDraw.Draw(picture).text((20, 20), "Open at nine", fill="black", font=ImageFont.load_default(size=32))
    picture.save(tmp_path / "sign.png")
    return tmp_path


def test_every_task_has_both_examples() -> None:
    assert [(title, language) for title, language, _ in examples()] == [
        (title, language) for title in SHOWS for language in ("bash", "python")
    ]


@pytest.mark.parametrize(("title", "language", "text"), [pytest.param(*e, id=f"{e[0]}-{e[1]}") for e in examples()])
def test_an_example_works(house: House, desk: Path, title: str, language: str, text: str) -> None:
    assert ADDRESS in text
    program = {"bash": ["bash", "-euc"], "python": [sys.executable, "-c"]}[language]
    done = subprocess.run(
        [*program, text.replace(ADDRESS, house.url)], cwd=desk, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert SHOWS[title][language] in done.stdout
    if title == "Image generation" and language == "python":
        with Image.open(desk / "barn.png") as picture:
            assert picture.size == (128, 128)


def test_the_error_that_is_shown_is_the_real_one(house: House) -> None:
    shown = json.loads(re.findall(r"(?s)```json\n(.*?)```", README)[0])["error"]
    real = house.chat("gpt-4").json()["error"]
    assert shown.keys() == real.keys()
    alike = ("message", "type", "code", "param")
    assert {key: shown[key] for key in alike} == {key: real[key] for key in alike}


def test_the_smallest_entry_is_one() -> None:
    from contract.config import Settings

    told = yaml.safe_load(re.findall(r"(?s)```yaml\n(.*?)```", README)[0])
    assert Settings.model_validate(told).models[0].id == "smolvlm"


def test_the_catalogue_tells_what_is_here(house: House) -> None:
    rows = {row["id"]: row for row in house.get("/api/models").json()["models"]}
    assert rows["minilm"].items() >= {"configured": "minilm", "downloaded": True, "dimensions": 384}.items()
    assert rows["demo-chat"].items() >= {"configured": "demo-chat", "downloaded": True, "licence": None}.items()
    assert rows["sam3"].items() >= {"configured": "sam3", "gated": True, "state": "stopped"}.items()
    assert rows["siglip"]["configured"] is None
    assert house.get("/api/models/sam-3").status_code == 404
