"""Installing: the extras that words select, the display of pip's progress, and the warning about torch's build."""

from __future__ import annotations

import gc
import io
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from scripts.packages import choice, installer, torch_build
from scripts.packages.__main__ import main
from scripts.packages.pip_progress import PipProgress
from workers import registry


def test_extras_of_engines_are_read_from_their_files() -> None:
    declared = {name: registry.find_engine(name).extras for name in registry.engine_names()}
    assert choice.extras_by_engine() == declared
    assert set().union(*declared.values()) <= set(choice.EXTRAS)


@pytest.mark.parametrize(
    ("words", "extras"),
    [
        (["chat", "ocr"], {"chat", "ocr"}),
        (["chat,ocr"], {"chat", "ocr"}),
        (["rapidocr"], {"ocr"}),
        (["transformers-chat"], {"chat"}),
        (["fake"], set()),
        ([""], set()),
    ],
)
def test_words_select_extras(words: list[str], extras: set[str]) -> None:
    assert choice.extras_for(words) == extras


def test_unknown_word_lists_extras_and_engines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["needs", "chats"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("ENGINES does not accept 'chats'. It accepts:\n  audio ")
    assert "rapidocr" in message


def test_choice_is_saved_and_extended(tmp_path: Path) -> None:
    assert choice.extras_to_install(tmp_path, []) == {"all"}
    assert choice.extras_to_install(tmp_path, ["ocr"]) == {"ocr"}
    choice.save_extras(tmp_path, {"ocr"})
    assert choice.extras_to_install(tmp_path, []) == {"ocr"}
    assert choice.extras_to_install(tmp_path, ["chat"]) == {"chat", "ocr"}
    assert choice.missing_extras(tmp_path, ["ocr", "chat"]) == {"chat"}
    choice.save_extras(tmp_path, set())
    assert choice.extras_to_install(tmp_path, []) == set()


def test_environment_without_a_saved_choice_has_all(tmp_path: Path) -> None:
    (tmp_path / ".ready").touch()
    assert choice.saved_extras(tmp_path) == {"all"}
    assert choice.missing_extras(tmp_path, ["chat"]) == set()


def test_gateway_and_manager_are_always_installed() -> None:
    assert choice.requirement(set()) == ".[command,gateway,manager,demo]"
    assert choice.requirement({"embeddings"}) == ".[command,gateway,manager,demo,embeddings,minilm]"


def test_install_saves_the_choice_and_starts_a_new_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(installer, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr(installer, "run_pip", lambda *arguments: commands.append(arguments))
    (tmp_path / "pip.log").write_text("an older installation")
    installer.install(["ocr"], tests=False, latest=False)
    assert [command[-1] for command in commands] == ["pip", ".[command,gateway,manager,demo,ocr]"]
    assert all(str(installer.LOCK) in command for command in commands)
    assert {path.name for path in tmp_path.iterdir()} == {".extras", ".ready", "requirements.lock"}


def test_log_omits_the_progress_of_downloads() -> None:
    output = "Collecting a\nProgress 1 of 2\nProgress 2 of 2\nSuccessfully installed a-1\n"
    process = subprocess.Popen([sys.executable, "-c", f"print({output!r}, end='')"], stdout=subprocess.PIPE, text=True)
    with process:
        log_file = io.StringIO()
        installer.follow(process, PipProgress(io.StringIO(), lambda: 0), log_file)
    assert log_file.getvalue() == "Collecting a\nSuccessfully installed a-1\n"


PIP_OUTPUT = """\
Looking in indexes: somewhere
WARNING: Location 'file:///srv/simple/a/' is ignored: it is neither a file nor a directory.
Obtaining file:///srv/enginehouse
Collecting aiohttp>=3.14 (from enginehouse==0.1.0)
  Downloading aiohttp-3.14.5-cp311-cp311-manylinux_2_17_x86_64.whl.metadata (7.7 kB)
Processing /srv/wheels/torch-2.13.0%2Bcpu-cp311-cp311-linux.whl (from enginehouse==0.1.0)
Requirement already satisfied: pip in ./.venv
Downloading https://example.org/aiohttp-3.14.5-cp311-cp311-manylinux_2_17_x86_64.whl (20.0 MB)
Progress 0 of 20000000
Progress 5000000 of 20000000
Progress 20000000 of 20000000
Using cached typing_extensions-4.16.0-py3-none-any.whl (45 kB)
Using cached docopt-0.6.2-py2.py3-none-any.whl
WARNING: Retrying after connection broken
Installing collected packages: docopt, torch, aiohttp
"""
DISPLAY = """\
  torch 2.13.0+cpu  (from a local file)
  aiohttp 3.14.5  (20.0 MB)
  typing-extensions 4.16.0  (45 kB, from the cache)
  docopt 0.6.2  (from the cache)
WARNING: Retrying after connection broken
Installing 3 packages
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_log_has_a_line_for_each_package() -> None:
    out = io.StringIO()
    progress = PipProgress(out, lambda: 7)
    for line in PIP_OUTPUT.splitlines():
        progress.read_line(line)
    assert out.getvalue() == DISPLAY


def test_log_shows_progress_every_ten_seconds() -> None:
    out, clock, installed = io.StringIO(), Clock(), 7
    progress = PipProgress(out, lambda: installed, clock)
    progress.tick()
    progress.read_line("Installing collected packages: a, b, c")
    installed, clock.now = 9, 9.0
    progress.tick()
    assert out.getvalue() == "Installing 3 packages\n"
    clock.now = 11.0
    progress.tick()
    assert out.getvalue() == "Installing 3 packages\n  2 of 3 installed\n"


def test_terminal_shows_a_bar_for_the_current_download() -> None:
    out = Terminal()
    progress = PipProgress(out, lambda: 7)
    for line in PIP_OUTPUT.splitlines():
        progress.read_line(line)
    progress.close()
    assert "\r\x1b[K  ██████░░░░░░░░░░░░░░░░░░  5 of 20 MB  aiohttp 3.14.5\r" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")


def test_long_resolution_shows_progress() -> None:
    out = io.StringIO()
    progress = PipProgress(out, lambda: 0)
    for number in range(45):
        progress.read_line(f"Collecting a{number}")
    assert out.getvalue() == "  40 packages found\n"


def test_error_and_all_lines_after_it_are_shown() -> None:
    out = io.StringIO()
    progress = PipProgress(out, lambda: 0)
    for line in ("Collecting a", "ERROR: Cannot install a", "Collecting b", "The conflict is caused by:"):
        progress.read_line(line)
    assert out.getvalue() == "ERROR: Cannot install a\nCollecting b\nThe conflict is caused by:\n"


CUDA = {"metadata": {"version": "2.13.0", "requires_dist": ["filelock", "nvidia-cudnn-cu13==9.20.0; platform_system"]}}
CPU = {"metadata": {"version": "2.13.0+cpu", "requires_dist": ["filelock"]}}


@pytest.mark.parametrize(
    ("wheel", "gpu", "expected"),
    [
        (CUDA, True, None),
        (CPU, False, None),
        ({}, False, None),
        (CPU, True, "this machine has an NVIDIA GPU, but pip is configured to install the CPU build"),
        (CUDA, False, "this machine has no NVIDIA GPU, but pip installs the CUDA build of torch"),
    ],
)
def test_unsuitable_build_of_torch_is_reported(wheel: Any, gpu: bool, expected: str | None) -> None:
    warning = torch_build.mismatch_warning(wheel, gpu=gpu)
    assert warning is None if expected is None else warning and expected in warning


def test_finds_gpus_that_the_driver_lists(tmp_path: Path) -> None:
    driver, wsl = tmp_path / "gpus", tmp_path / "libcuda"
    assert not torch_build.has_nvidia_gpu(driver, wsl)
    driver.mkdir()
    assert not torch_build.has_nvidia_gpu(driver, wsl)
    (driver / "0000:01:00.0").mkdir()
    assert torch_build.has_nvidia_gpu(driver, wsl)
    assert torch_build.has_nvidia_gpu(tmp_path / "none", driver)


def test_macs_get_no_warning_about_torch(tmp_path: Path) -> None:
    assert torch_build.warning_for_this_machine(tmp_path / "lock", platform="darwin") is None


def test_pip_leaves_no_pipe_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(installer, "ENVIRONMENT", tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        installer.run_pip("--version", into=tmp_path)
        gc.collect()
    assert [warning for warning in caught if warning.category is ResourceWarning] == []
    assert "pip --version" in (tmp_path / "pip.log").read_text()
