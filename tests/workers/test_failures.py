"""Classification of engines' exceptions, with those that the libraries really raise."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from contract.errors import EngineFailed, InvalidField, LoadFailed, OutOfMemory
from contract.tasks.embeddings import EmbeddingsResponse
from workers.failures import is_fatal, is_out_of_memory, is_permanent, load_failure_message, summarize, to_serve_error


def caused(error: BaseException) -> BaseException:
    """A library's error with the real one as its cause."""
    try:
        raise RuntimeError("forward failed") from error
    except RuntimeError as outer:
        return outer


class OutOfMemoryError(RuntimeError):
    """Has the name of torch's error."""


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
def test_recognises_out_of_memory(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert isinstance(to_serve_error(error), OutOfMemory)
    assert not is_permanent(error)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory"), OSError("no route")])
def test_other_errors_are_not_out_of_memory(error: BaseException) -> None:
    assert not is_out_of_memory(error)
    assert isinstance(to_serve_error(error), EngineFailed)


@pytest.mark.parametrize(
    ("message", "broken"),
    [
        ("CUDA error: device-side assert triggered", True),
        ("CUDA error: an illegal memory access was encountered", True),
        ("CUDA error: out of memory", False),
        ("shape mismatch", False),
    ],
)
def test_lost_gpu_context_is_fatal(message: str, broken: bool) -> None:
    assert is_fatal(caused(RuntimeError(message))) is broken


class LocalEntryNotFoundError(FileNotFoundError):
    """Has the name of the hub's error for a missing network."""


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
def test_permanent_and_temporary_failures(error: BaseException, certain: bool) -> None:
    assert is_permanent(error) is certain


def test_summary_is_the_message_or_type_and_message() -> None:
    refusal = InvalidField("Send less.", param="n")
    assert to_serve_error(refusal) is refusal
    assert summarize(refusal) == "Send less."
    assert summarize(ValueError("odd")) == "ValueError: odd"
    assert summarize(ValueError()) == "ValueError: no message"


def test_load_failure_messages_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"garbage" * 9)
    with pytest.raises(SafetensorError) as damaged:
        load_file(tmp_path / "model.safetensors")
    assert load_failure_message(damaged.value, "org/model").startswith(
        "A file of org/model is damaged (SafetensorError:"
    )
    assert load_failure_message(LoadFailed("There is no such model."), "org/model") == "There is no such model."
    assert load_failure_message(OSError("no weights."), "org/model") == "OSError: no weights."
    assert load_failure_message(OSError("no weights"), "org/model") == "OSError: no weights."


def test_missing_library_says_what_installs_it() -> None:
    assert load_failure_message(ModuleNotFoundError("No module named 'diffusers'"), "org/model", "diffusers_image") == (
        "ModuleNotFoundError: No module named 'diffusers'. A library that this engine needs is missing: "
        "`make setup ENGINES=diffusers_image` installs it."
    )


def test_answer_that_breaks_its_schema_is_explained() -> None:
    with pytest.raises(ValidationError) as caught:
        EmbeddingsResponse.model_validate({"model": "m", "data": [{"index": "a"}]})
    error = to_serve_error(caught.value)
    assert isinstance(error, EngineFailed)
    assert error.message.startswith("The engine made an answer that is not valid: `data.0.index` must be an integer.")
    assert "`usage`: this field is required." in error.message
    assert "pydantic" not in error.message
    assert "\n" not in error.message


def test_refused_pickle_is_not_called_damaged(tmp_path: Path) -> None:
    import torch

    file = tmp_path / "model.bin"
    file.write_bytes(pickle.dumps({"weights": Path("x")}, protocol=2))
    with pytest.raises(pickle.UnpicklingError) as refused:
        torch.load(file, weights_only=True)
    message = load_failure_message(refused.value, "org/model")
    assert message.startswith("A file of org/model is not read, because it contains more than weights")
    assert "safetensors" in message
    assert "damaged" not in message
