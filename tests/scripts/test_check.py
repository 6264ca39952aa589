"""The docs' example of an engine is one, and `make check` finds what it is there to find."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from contract.config import ModelSpec
from contract.tasks.embeddings import EmbeddingsRequest
from scripts.check import documents, sizes, tables, words
from workers.engine import Call, Device

ROOT = Path(__file__).parents[2]


def test_the_example_of_an_engine_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "adding-an-engine.md").read_text()
    (tmp_path / "letters.py").write_text(re.findall(r"(?s)```python\n(.*?)```", page)[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    from letters import Letters  # type: ignore[import-not-found]

    engine = Letters()
    engine.load(ModelSpec(id="letters", engine="letters", source="none"), Device("cpu", "float32"))
    calls = [Call(EmbeddingsRequest(input=text)) for text in ("abba", "c")]
    answers = [answer for _, answer in engine.embed(calls)]
    assert [answer.data[0].embedding[:4] for answer in answers] == [[2, 2, 0, 0], [0, 0, 1, 0]]
    assert list(Letters.served()) == ["embeddings"]
    del sys.modules["letters"]


def test_tables_are_written_where_they_belong() -> None:
    text = "before\n<!-- generated: tasks -->\nold\n<!-- end -->\nafter"
    now = documents.written(text)
    assert "| ocr | `POST /v1/vision/ocr` |" in now
    assert "old" not in now
    assert now.startswith("before\n")
    assert now.endswith("\nafter")
    assert documents.written(now) == now


def test_every_option_of_an_engine_is_explained_above_its_table() -> None:
    for part in re.split(r"(?m)^(?=\*\*)", tables.options()):
        said, _, rows = part.partition("| Option |")
        options = set(re.findall(r"(?m)^\| `(\w+)` \|", rows))
        told = set(re.findall(r"`(\w+)`", said))
        assert options <= told or part.startswith("**fake**"), part  # whose faults are explained where they are


def test_every_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"(?s)\.PHONY: (.*?)\n\n", makefile)
    assert phony
    for target in phony[1].replace("\\\n", " ").split():
        assert f"| `make {target}` |" in tables.targets()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another repository for the checks to look at."""
    for module in (documents, sizes, words):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(documents, "_CONFIGURATION", ROOT / "docs" / "configuration.md")
    for module in (sizes, words):
        monkeypatch.setattr(module, "tracked", lambda *_: sorted(p for p in tmp_path.rglob("*.*") if p.is_file()))
    return tmp_path


def test_links_and_tests_that_are_not_there_are_told(repository: Path) -> None:
    (repository / "tests").mkdir()
    (repository / "tests" / "test_a.py").write_text("def test_there() -> None: ...\n")
    (repository / "README.md").write_text(
        "[a](gone.md) [b](README.md#x) [c](https://example.org) "
        "`tests/test_a.py::test_there` `tests/test_a.py::test_not`"
    )
    assert list(documents.problems()) == [
        "README.md: gone.md does not exist",
        "README.md: tests/test_a.py::test_not does not exist",
    ]


def test_a_key_told_wrongly_is_found() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert list(documents._undescribed(page)) == []
    wrong = page.replace("| `port` | `8000` |", "| `port` | `80` |").replace("| `pinned` |", "| `pined` |")
    assert set(documents._undescribed(wrong)) == {
        "docs/configuration.md: gateway.port is `8000`, told is `80`",
        "docs/configuration.md: models.pinned is `false`, told is nothing",
        "docs/configuration.md: there is no models.pined",
    }


def test_long_files_and_functions_are_found(repository: Path) -> None:
    (repository / "long.py").write_text("def f():\n" + "    x = 1\n" * 40 + "y = 2\n" * 260)
    assert list(sizes.problems()) == [
        "long.py: 301 lines; 300 are allowed",
        "long.py:1: f has 41 lines; 40 are allowed",
    ]


def test_forbidden_words_and_vague_names_are_found(repository: Path) -> None:
    (repository / "utils.py").write_text("a = 1\n# TO" + "DO: later\n")
    assert list(words.problems()) == [
        "utils.py: name it for what is in it",
        "utils.py:2: 'TO" + "DO': finish it, or open an issue",
    ]
