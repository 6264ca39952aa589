"""Workers import no library that only training and saving use, and quantize with torchao nonetheless."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Models
from workers.registry import engine_names, find_engine

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys

from workers.__main__ import import_all
from workers.registry import engine_names, find_engine

import_all(",".join(find_engine("transformers_chat").imports))
imported = {"scipy", "torchao"} & set(sys.modules)
assert not imported, imported

import torch
from torchao.quantization import Int8WeightOnlyConfig
from transformers import AutoModelForCausalLM, TorchAoConfig
from transformers.utils import is_scipy_available

quantization = TorchAoConfig(Int8WeightOnlyConfig(version=2))
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16, quantization_config=quantization)
assert model(torch.arange(1, 9)[None]).logits.isfinite().all()
assert is_scipy_available()
print(*{type(parameter).__name__ for parameter in model.parameters()})
"""


def test_worker_imports_scipy_and_torchao_only_when_needed(models: Models) -> None:
    pytest.importorskip("torchao")
    command = [sys.executable, "-c", PROGRAM, str(models("lm"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Int8Tensor" in done.stdout.split()


LEAN = [name for name in engine_names() if "workers.toolkit.lean_transformers" in find_engine(name).imports]


def test_engines_of_transformers_are_lean() -> None:
    assert {"sentence_transformers", "depth_anything", "diffusers_image", "vits", "mlx", "mlx_whisper"} <= set(LEAN)


@pytest.mark.parametrize("engine", LEAN)
def test_engines_import_it_before_transformers(engine: str) -> None:
    imports = find_engine(engine).imports
    assert imports.index("workers.toolkit.lean_transformers") == imports.index("workers.toolkit.torchvision_shim") + 1
