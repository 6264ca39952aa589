"""What an engine's exceptions mean, as the libraries really raise them."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import SafetensorError
from safetensors.torch import load_file

from contract.errors import EngineFailed, InvalidField, LoadFailed, OutOfMemory
from workers.failures import as_answer, breaks_the_process, describe, is_certain, is_out_of_memory, of_loading


def caused(error: BaseException) -> BaseException:
    """A library's own error around the real one."""
    try:
        raise RuntimeError("forward failed") from error
    except RuntimeError as outer:
        return outer


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("std::bad_alloc"),
        caused(MemoryError()),
    ],
)
def test_memory_is_recognised_whoever_says_so(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert isinstance(as_answer(error), OutOfMemory)
    assert not is_certain(error)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory"), OSError("no route")])
def test_what_is_no_lack_of_memory_is_none(error: BaseException) -> None:
    assert not is_out_of_memory(error)
    assert isinstance(as_answer(error), EngineFailed)


@pytest.mark.parametrize(
    ("message", "broken"),
    [
        ("CUDA error: device-side assert triggered", True),
        ("CUDA error: an illegal memory access was encountered", True),
        ("CUDA error: out of memory", False),
        ("shape mismatch", False),
    ],
)
def test_a_lost_gpu_context_breaks_the_process(message: str, broken: bool) -> None:
    assert breaks_the_process(caused(RuntimeError(message))) is broken


class LocalEntryNotFoundError(FileNotFoundError):
    """Named as the hub's: the network was not there."""


@pytest.mark.parametrize(
    ("error", "certain"),
    [
        (LoadFailed("There is no such model."), True),
        (ModuleNotFoundError("No module named 'x'"), True),
        (FileNotFoundError("weights"), True),
        (KeyError("vocab"), True),
        (LocalEntryNotFoundError("offline"), False),
        (ConnectionError("reset"), False),
        (RuntimeError("CUDA error: device busy"), False),
    ],
)
def test_what_would_fail_again_at_once_is_certain(error: BaseException, certain: bool) -> None:
    assert is_certain(error) is certain


def test_our_own_errors_keep_their_sentence_and_others_get_type_and_message() -> None:
    refusal = InvalidField("Send less.", param="n")
    assert as_answer(refusal) is refusal
    assert describe(refusal) == "Send less."
    assert describe(ValueError("odd")) == "ValueError: odd"
    assert describe(ValueError()) == "ValueError: no message"


def test_why_a_model_could_not_be_loaded_is_told_in_sentences(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"garbage" * 9)
    with pytest.raises(SafetensorError) as damaged:
        load_file(tmp_path / "model.safetensors")
    assert of_loading(damaged.value, "org/model").startswith("A file of org/model is damaged (SafetensorError:")
    assert of_loading(LoadFailed("There is no such model."), "org/model") == "There is no such model."
    assert of_loading(OSError("no weights."), "org/model") == "OSError: no weights."
    assert of_loading(OSError("no weights"), "org/model") == "OSError: no weights."


def test_a_library_that_is_missing_is_told_with_what_installs_it() -> None:
    assert of_loading(ModuleNotFoundError("No module named 'diffusers'"), "org/model", "diffusers_image") == (
        "ModuleNotFoundError: No module named 'diffusers'. A library that this engine needs is missing: "
        "`make setup ENGINES=diffusers_image` installs it."
    )
