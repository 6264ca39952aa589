"""`make check` finds what it is there to find, and the docs' example of an engine works."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from contract.config import ModelSpec
from contract.tasks.embeddings import EmbeddingsRequest
from scripts.check import circles, code_map, documents, links, names, sizes, sources, tables, words
from workers.engine import Call, Device

ROOT = Path(__file__).parents[2]


def test_example_of_an_engine_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_tables_replace_the_generated_parts() -> None:
    page = "before\n<!-- generated: tasks -->\nold\n<!-- end -->\nafter"
    current = documents.with_tables(page)
    assert "| ocr | `POST /v1/vision/ocr` |" in current
    assert "old" not in current
    assert current.startswith("before\n")
    assert current.endswith("\nafter")
    assert documents.with_tables(current) == current


def test_every_engine_option_is_explained() -> None:
    for part in re.split(r"(?m)^(?=\*\*)", tables.options()):
        text, _, rows = part.partition("| Option |")
        options = set(re.findall(r"(?m)^\| `(\w+)` \|", rows))
        explained = set(re.findall(r"`(\w+)`", text))
        assert options <= explained or part.startswith("**fake**"), part  # its docstrings explain its faults


def test_every_make_target_has_a_help_text() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"(?s)\.PHONY: (.*?)\n\n", makefile)
    assert phony
    for target in phony[1].replace("\\\n", " ").split():
        assert f"| `make {target}` |" in tables.targets()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository that the checks read instead of ours."""

    def tracked(*patterns: str) -> list[Path]:
        files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
        folders = tuple(pattern.partition("/")[0] for pattern in patterns if "/" in pattern)
        return [file for file in files if not folders or file.relative_to(tmp_path).parts[0] in folders]

    monkeypatch.setattr(sources, "ROOT", tmp_path)
    monkeypatch.setattr(sources, "tracked", tracked)
    return tmp_path


def write(repository: Path, name: str, text: str) -> None:
    path = repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_outdated_table_is_found(repository: Path) -> None:
    write(repository, "README.md", "<!-- generated: tasks -->\nold\n<!-- end -->\n")
    assert list(documents.problems()) == ["README.md: its generated tables are out of date; `make format` writes them"]


def test_wrong_defaults_of_keys_are_found() -> None:
    page = documents.CONFIGURATION.read_text()
    assert list(documents.wrong_keys(page)) == []
    page = page.replace("| `port` | `8000` |", "| `port` | `80` |").replace("| `pinned` |", "| `pined` |")
    assert set(documents.wrong_keys(page)) == {
        "docs/configuration.md: the default of gateway.port is `8000`, the page says `80`",
        "docs/configuration.md: the default of models.pinned is `false`, the page says nothing",
        "docs/configuration.md: models.pined does not exist",
    }


def test_outdated_values_of_keys_are_found_and_written() -> None:
    page = documents.CONFIGURATION.read_text()
    for old, new in (("| 0 to 65535 | port of the API", "|  | port of the API"), ("| 1 to 150 |", "| 1 to 15 |")):
        assert old in page
        page = page.replace(old, new)
    assert set(documents.wrong_keys(page)) == {
        "docs/configuration.md: the values of gateway.port are out of date; `make format` writes them",
        "docs/configuration.md: the values of gateway.infer_steps are out of date; `make format` writes them",
    }
    assert documents.with_values(page) == documents.CONFIGURATION.read_text()


def test_missing_link_targets_and_tests_are_found(repository: Path) -> None:
    write(repository, "tests/test_a.py", "def test_exists() -> None: ...\n")
    write(
        repository,
        "README.md",
        "# Some `code`, and more\n[a](gone.md) [b](README.md#some-code-and-more) [c](https://example.org) [d](#gone) "
        "[e](tests/test_a.py#L1) `tests/test_a.py::test_exists` `tests/test_a.py::test_gone` `docs/gone.md`",
    )
    assert list(links.problems()) == [
        "README.md: gone.md does not exist",
        "README.md: #gone does not exist",
        "README.md: tests/test_a.py#L1 does not exist",
        "README.md: tests/test_a.py::test_gone does not exist",
        "README.md: docs/gone.md does not exist",
    ]


def test_anchors_follow_githubs_rules() -> None:
    page = "# Where do I change…?\n## A & B\n## A & B\n### [Linked](page.md), `snake_case`-ed\n```\n# a comment\n```\n"
    assert links.anchors(page) == {"where-do-i-change", "a--b", "a--b-1", "linked-snake_case-ed"}


MAP = """\
## The map

```
gateway/                  the public API
  app.py  gone.py         two names
  routes/  *.py           one file for each route
workers/
  engines/  *.py  */      one file or package for each family
```
"""


def test_map_lacking_or_inventing_modules_is_found(repository: Path) -> None:
    write(repository, "ARCHITECTURE.md", MAP)
    for module in ("__init__.py", "app.py", "missing.py", "routes/tasks.py", "routes/deep/er.py"):
        write(repository, f"gateway/{module}", "")
    for module in ("engines/one.py", "engines/package/part.py"):
        write(repository, f"workers/{module}", "")
    assert list(code_map.problems()) == [
        "ARCHITECTURE.md: the map does not name gateway/missing.py",
        "ARCHITECTURE.md: the map does not name gateway/routes/deep/er.py",
        "ARCHITECTURE.md: the map names gateway/gone.py, which does not exist",
    ]


def test_shared_type_names_are_found(repository: Path) -> None:
    write(repository, "gateway/a.py", "class Reply: ...\nText = str | None\nT = TypeVar('T')\nLIMIT = 3\n")
    write(repository, "manager/b.py", "class _Reply: ...\nText: TypeAlias = str\nT = TypeVar('T')\nLIMIT = 4\n")
    assert list(names.problems()) == [
        "gateway/a.py:1, manager/b.py:1: all define Reply; give each its own name",
        "gateway/a.py:2, manager/b.py:2: all define Text; give each its own name",
    ]


def test_long_test_names_are_found(repository: Path) -> None:
    allowed, too_long = "test_" + "a" * 55, "test_" + "b" * 56
    write(repository, "tests/test_a.py", f"def {allowed}(): ...\nclass TestB:\n    async def {too_long}(self): ...\n")
    assert list(names.problems()) == [f"tests/test_a.py:3: {too_long} has 61 characters; 60 are allowed"]


def test_vague_file_names_are_found(repository: Path) -> None:
    write(repository, "gateway/utils.py", "")
    assert list(names.problems()) == ["gateway/utils.py: name it for what is in it"]


def test_import_circle_within_a_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "circular_package/__init__.py", "from circular_package import part\n")
    checked = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import circular_package\n"
    write(tmp_path, "circular_package/part.py", checked)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sources, "PACKAGES", ("circular_package",))
    (problem,) = circles.problems()
    assert problem.startswith("import circle: circular_package")
    assert "circular_package.part" in problem


def test_long_files_and_functions_are_found(repository: Path) -> None:
    write(repository, "long.py", "def f():\n" + "    x = 1\n" * 40 + "y = 2\n" * 260)
    assert list(sizes.problems()) == [
        "long.py: 301 lines; 300 are allowed",
        "long.py:1: f has 41 lines; 40 are allowed",
    ]


# Split so that this file does not contain the words itself.
BAD_WORDS = [
    "TO" + "DO",
    "the hou" + "se",
    "is to" + "ld",
    "an" + "ew",
    "bo" + "rn",
    "a fore" + "ign server",
    "The file li" + "es in data.",
    "It sta" + "nds in the table.",
    "some" + "body asks",
    "who le" + "aves",
    '"""The sa' + "me, but longer.",
    "on its w" + "ay",
    "A pict" + "ure of it.",
    "use_pict" + "ure_size",
]


@pytest.mark.parametrize("text", BAD_WORDS)
def test_forbidden_words_are_found(repository: Path, text: str) -> None:
    write(repository, "a.md", f"# Title\n{text}\n")
    (problem,) = words.problems()
    assert problem.startswith("a.md:2: ")


@pytest.mark.parametrize("text", ['standby["born"]', "standby.born", "Enginehouse", "stands in for the hub"])
def test_allowed_words_pass(repository: Path, text: str) -> None:
    write(repository, "a.md", text)
    assert list(words.problems()) == []
