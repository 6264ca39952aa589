"""Which checkpoints load, with which Auto class, and the errors for those that do not load."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import LoadFailed
from tests.support.chat_engines import ask, load, request, text
from workers.engine import Device
from workers.registry import find_engine

Copy = Callable[..., Path]

CODE = """
from transformers import Qwen2Config, Qwen2ForCausalLM


class OwnConfig(Qwen2Config):
    model_type = "own"


class OwnModel(Qwen2ForCausalLM):
    config_class = OwnConfig
"""


def test_unknown_type_error_says_what_to_do(copy: Copy) -> None:
    with pytest.raises(
        LoadFailed, match=r"of type 'hyperchat'.*no engine serves.*transformers_chat.*add an engine: one file"
    ):
        load(copy("lm", model_type="hyperchat"))


def test_error_names_the_engine_for_the_type(models: Callable[[str], Path]) -> None:
    with pytest.raises(LoadFailed, match=r"of type 'sam'.*Write `engine: transformers_segment`"):
        load(models("sam"))
    with pytest.raises(LoadFailed, match=r"no chat template.*For tasks other than chat.*transformers_ocr"):
        load(models("got_ocr2"))


def test_quantised_answer_equals_that_of_transformers(models: Callable[[str], Path]) -> None:
    """The reference quantises the same weights to 8 bits, on the CPU."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    engine: Any = load(models("lm"), options={"quantization": "8bit"})
    config = BitsAndBytesConfig(load_in_8bit=True)
    library = AutoModelForCausalLM.from_pretrained(models("lm"), dtype=torch.float32, quantization_config=config)
    inputs = engine._encoder.encode(request("Hello"))
    tokens = library.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[-1] :]
    assert text(ask(engine, "Hello")) == engine._loaded.tokenizer.decode(tokens, skip_special_tokens=True)
    assert str(engine.joins) == "yes"
    assert engine._model.get_memory_footprint() < load(models("lm"))._model.get_memory_footprint()


def test_folder_without_configuration_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"no config\.json"):
        load(tmp_path)


def test_missing_template_error_says_what_to_do(copy: Copy) -> None:
    folder = copy("lm")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(LoadFailed, match=r"no chat template.*instruction-tuned version.*or set"):
        load(folder)
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert text(ask(load(folder, options={"chat_template": template}), "Hello"))


def test_custom_code_runs_only_if_trusted(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    auto = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    folder = copy("lm", model_type="own", auto_map=auto)
    (folder / "own.py").write_text(CODE)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder / "modules"))
    with pytest.raises(LoadFailed, match=r"comes with Python code of its own.*trust_remote_code: true"):
        load(folder)
    engine = load(folder, trust_remote_code=True)
    assert type(engine._model).__name__ == "OwnModel"
    assert "its code comes from the checkpoint" in str(engine.joins)
    assert text(ask(engine, "Hello"))


def test_ambiguous_type_is_decided_by_architectures(tmp_path: Path) -> None:
    from contract.config import ModelSpec
    from workers.engines.transformers_chat.loading import auto_class
    from workers.toolkit import pretrained

    spec = ModelSpec(id="m", engine="transformers_chat", source=str(tmp_path))
    for architecture, class_name in {
        "Llama4ForConditionalGeneration": "AutoModelForImageTextToText",
        "Llama4ForCausalLM": "AutoModelForCausalLM",
    }.items():
        config = {"model_type": "llama4", "architectures": [architecture]}
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert auto_class(pretrained.read_checkpoint(spec)) == class_name


def test_dtype_is_the_one_from_the_manager(models: Callable[[str], Path]) -> None:
    import torch

    from contract.config import ModelSpec

    engine: Any = find_engine("transformers_chat")()
    engine.load(ModelSpec(id="m", engine="transformers_chat", source=str(models("smolvlm"))), Device("cpu", "bfloat16"))
    assert engine._model.dtype == torch.bfloat16
    assert str(engine.joins) == "yes"
    assert text(ask(engine, "Hello"))


def test_recommended_sampling_is_the_default(copy: Copy) -> None:
    folder = copy("lm")
    settings = json.loads((folder / "generation_config.json").read_text())
    settings |= {"do_sample": True, "temperature": 0.9, "top_k": 1, "max_new_tokens": 5}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    answer = ask(load(folder), "Hello", temperature=None, max_tokens=None)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5
    assert text(answer) == text(ask(load(folder), "Hello", max_tokens=5)), "with top_k 1, sampling is greedy"
