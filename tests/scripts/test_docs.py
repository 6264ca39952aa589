"""Every block of every page of documentation is run, checked in its own language, or listed with the reason."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import tomllib
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.config import ENVIRONMENT, ModelSpec, Settings
from contract.errors import UnsupportedFeature
from contract.tasks.embeddings import EmbeddingsRequest
from tests.support.doc_examples import ROOT, Block
from tests.support.doc_table import ELSEWHERE, EXAMPLES, NOT_RUN, PAGES, all_blocks, listed, of_language
from workers.engine import Call, Device, Engine
from workers.registry import find_engine

COMMANDS = [block for block in of_language("bash", "python") if block not in EXAMPLES]
TARGETS = set(re.findall(r"(?m)^([a-z0-9-]+)(?: [a-z0-9 -]+)?:", (ROOT / "Makefile").read_text()))
_MAKE = re.compile(r"((?:[A-Z_]+=\S+ )*)make((?: [a-z0-9-]+| [A-Z_]+=(?:\"[^\"]*\"|\S+))*)")


def _params(blocks: list[Block]) -> list[Any]:
    return [pytest.param(block, id=str(block)) for block in blocks]


def test_every_block_names_its_language() -> None:
    known = {"bash", "python", "yaml", "json", "toml", "nginx", "text"}
    assert [str(block) for block in all_blocks() if block.language not in known] == []


@pytest.mark.parametrize("table", [ELSEWHERE, NOT_RUN], ids=["elsewhere", "not run"])
def test_tables_list_blocks_that_exist(table: dict[tuple[str, str], str]) -> None:
    assert set(table) == {listed(block, table) for block in all_blocks()} - {None}


def test_tests_that_run_blocks_read_their_page() -> None:
    for (page, _), test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(), test


@pytest.mark.parametrize("block", _params(COMMANDS))
def test_command_exists(block: Block) -> None:
    for line in block.text.removeprefix("git pull\n").splitlines():
        command = _MAKE.fullmatch(line.partition("#")[0].strip())
        assert command, f"run, check or list this line: {line}"
        variables = dict(pair.split("=", 1) for pair in command[1].split())
        assert set(variables) <= {*ENVIRONMENT, "ENGINEHOUSE_CONFIG", "ENGINEHOUSE_HOME"}, line
        for word in command[2].split():
            if "=" not in word and '"' not in word:
                assert word in TARGETS, line


def test_commands_that_texts_name_exist() -> None:
    for page in PAGES:
        for command in re.findall(r"`make ([a-z0-9-]+)", (ROOT / page).read_text()):
            assert command in TARGETS, f"{page}: make {command}"


@pytest.mark.parametrize("page", ["config.yaml", "docs/images.md", "docs/models.md"])
def test_quantization_is_recommended_with_what_installs_it(page: str) -> None:
    text = (ROOT / page).read_text()
    assert "quantization: " in text
    assert "`make setup ENGINES=quantization`" in text.replace("\n", " ")


def test_image_of_everything_copies_every_package() -> None:
    copied = re.findall(r"(?m)^COPY (\w+) \1$", (ROOT / "deploy/docker/Dockerfile").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert copied == sorted(
        name.removesuffix("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]
    )
    kept = re.findall(r"(?m)^!(\w+)$", (ROOT / ".dockerignore").read_text())  # the only one that all builders read
    assert set(copied) <= set(kept)


@pytest.mark.parametrize("block", _params(of_language("yaml")))
def test_configuration_is_valid(block: Block) -> None:
    content = yaml.safe_load(block.text)
    if isinstance(content, list):
        content = {"models": content}
    if "options" in content:
        content = {"models": [{"id": "m", "engine": "transformers_chat", "source": "a/b", **content}]}
    for model in Settings.model_validate(content).models:
        find_engine(model.engine).Options.model_validate(model.options)


@pytest.mark.parametrize("block", _params(of_language("json")))
def test_answer_is_json(block: Block) -> None:
    assert isinstance(json.loads(re.sub(r",?\s*…(?=\s*[\]}])", "", block.text)), dict)


@pytest.mark.parametrize("block", _params(of_language("toml")))
def test_configuration_of_a_client_is_toml(block: Block) -> None:
    assert tomllib.loads(block.text)


def test_minimal_engine_answers() -> None:
    [block] = [block for block in all_blocks() if block.page == "docs/adding-an-engine.md"]
    names: dict[str, Any] = {"__name__": "letters"}
    exec(compile(block.text, "workers/engines/letters.py", "exec"), names)
    engine: Engine = names["Letters"]()
    engine.load(ModelSpec(id="letters", engine="letters"), Device("cpu", "float32"))
    fields: list[dict[str, Any]] = [{}, {"encoding_format": "base64"}, {"dimensions": 5}]
    calls = [Call(EmbeddingsRequest(input="Abba", **each)) for each in fields]
    numbers, text, refusal = (answer for _, answer in names["Letters"].embed(engine, calls))
    assert numbers.data[0].embedding[:3] == [2, 2, 0]
    assert struct.unpack("<26f", b64decode(text.data[0].embedding))[:3] == (2, 2, 0)
    assert isinstance(refusal, UnsupportedFeature)


@pytest.mark.parametrize(
    ("page", "number", "path"),
    [
        ("docs/adding-an-engine.md", 0, "workers/engines/letters.py"),
        ("docs/adding-a-model.md", 0, "workers/engines/vit.py"),
        ("docs/adding-a-model.md", 1, "scripts/testbed/models/vit.py"),
    ],
)
def test_files_of_new_engines_pass_our_own_linter(page: str, number: int, path: str) -> None:
    text = [block for block in all_blocks() if (block.page, block.language) == (page, "python")][number].text
    for command in (["check", "--quiet"], ["format", "--check", "--diff", "--quiet"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", path, "-"]
        run = subprocess.run(ruff, input=text, text=True, capture_output=True, cwd=ROOT, check=False)
        assert run.returncode == 0, run.stdout


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_accepts_the_configuration(tmp_path: Path) -> None:
    plain, upgrades = (block.text for block in of_language("nginx"))
    variables, lines = re.findall(r"# (map .*\})", upgrades), re.sub(r"#.*", "", upgrades)
    upgrading = plain.replace('    proxy_set_header Connection "";\n', lines)
    assert upgrading != plain
    for location, server in ((plain, ""), (upgrading, variables[0])):
        config = tmp_path / "nginx.conf"
        config.write_text(f"pid {tmp_path}/pid; events {{}} http {{ {server} server {{ {location} }} }}")
        done = subprocess.run(
            ["nginx", "-t", "-p", str(tmp_path), "-e", "stderr", "-c", str(config)], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
