"""Which browser is started, and in which ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import LoadFailed
from workers.engines.crawl import chromium
from workers.engines.crawl.chromium import LaunchWay


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(chromium, "_MAC_APPS", ())
    return tmp_path


def program(path: Path) -> str:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_playwrights_own_browser_comes_first(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    system = program(programs / "chromium")
    own = tmp_path_factory.mktemp("playwright") / "chrome"
    assert chromium.find(None, str(own)) == system
    assert chromium.find(None, program(own)) == str(own)


def test_the_configured_browser_must_exist(programs: Path) -> None:
    program(programs / "chromium")
    chosen = program(programs / "brave")
    assert chromium.find("brave", "/nowhere") == chosen
    with pytest.raises(LoadFailed, match=r"options\.executable.*missing"):
        chromium.find("missing", "/nowhere")


def test_says_how_to_get_a_browser(programs: Path) -> None:
    with pytest.raises(LoadFailed, match=r"apt-get install chromium-headless-shell.*playwright install"):
        chromium.find(None, "/nowhere")


@pytest.mark.parametrize(
    ("sandbox", "root", "expected"),
    [
        (None, False, [LaunchWay(True, False), LaunchWay(False, False)]),
        (None, True, [LaunchWay(True, True), LaunchWay(False, True), LaunchWay(False, False)]),
        (True, True, [LaunchWay(True, True)]),
        (False, False, [LaunchWay(False, False)]),
    ],
)
def test_tries_the_safest_way_first(sandbox: bool | None, root: bool, expected: list[LaunchWay]) -> None:
    assert chromium.ways(sandbox, root=root) == expected


def test_only_ways_without_the_sandbox_are_weak() -> None:
    assert LaunchWay(sandbox=True, unprivileged=True).weakness is None
    assert "unprivileged user" in (LaunchWay(sandbox=False, unprivileged=True).weakness or "")
