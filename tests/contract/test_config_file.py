"""Changing the configuration file: whole or not at all, by one program at a time, and never to an invalid one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from contract import config
from contract.config import ConfigError
from contract.config_file import changing
from contract.yaml_lists import ListPath, with_entry

MODELS = ListPath(("models",), "id")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("# mine\nmodels: []\n")
    return path


def add(path: Path, id_: str, **fields: object) -> None:
    with changing(path, lambda text: with_entry(text, MODELS, {"id": id_, "engine": "fake", **fields})) as prepared:
        prepared.apply()


def test_keeps_the_mode_and_the_link(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    link = tmp_path / "elsewhere" / "config.yaml"
    link.parent.mkdir()
    link.symlink_to(file)
    add(link, "a")
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert [model.id for model in config.load(file, {}).models] == ["a"]
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "elsewhere"}


def test_invalid_change_leaves_the_file_alone(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(ConfigError, match=r"config\.yaml: model a: unknown key `sorce`; did you mean `source`"):
        add(file, "a", sorce="x")
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_change_that_is_not_applied_changes_nothing(file: Path) -> None:
    before = file.read_bytes()
    with changing(file, lambda text: text + "# more\n") as prepared:
        assert prepared.settings.models == ()
    assert file.read_bytes() == before


def test_edit_of_another_program_is_not_overwritten(file: Path) -> None:
    with changing(file, lambda text: text + "# ours\n") as prepared:
        file.write_text("models: []   # saved by an editor meanwhile\n")
        with pytest.raises(ConfigError, match="just been changed"):
            prepared.apply()
    assert "editor" in file.read_text()


def test_new_file_begins_with_the_default(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    with changing(file, lambda text: text + "# more\n", default="models: []\n") as prepared:
        prepared.apply()
    assert file.read_text() == "models: []\n# more\n"


def test_changes_at_the_same_time_are_all_kept(file: Path) -> None:
    threads = [threading.Thread(target=add, args=(file, f"m{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {model.id for model in config.load(file, {}).models} == {f"m{number}" for number in range(8)}


def test_folder_that_may_not_be_written_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be changed"):
        add(tmp_path / "missing" / "config.yaml", "a")
