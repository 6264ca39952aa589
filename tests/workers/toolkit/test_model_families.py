"""The class that runs a checkpoint is found by its type and imported only then."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.config import ModelSpec
from contract.errors import LoadFailed
from workers.registry import find_engine
from workers.toolkit.model_families import ModelFamilies, open_checkpoint
from workers.toolkit.pretrained import TorchOptions

FAMILIES = ModelFamilies("xml", {"dom.minidom:Document": ("doc",), "sax:parse": ("stream", "pull"), "sax:make": ()})


def test_lists_every_type_and_each_module_once() -> None:
    assert FAMILIES.model_types == ("doc", "stream", "pull")
    assert FAMILIES.modules == ("xml.dom.minidom", "xml.sax")


def test_imports_a_family_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "xml.sax", raising=False)
    families = ModelFamilies("xml", {"sax:parse": ("stream",)})
    assert families.modules == ("xml.sax",)
    assert "xml.sax" not in sys.modules
    assert families.find("stream").__name__ == "parse"


def test_an_unknown_type_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="song"):
        FAMILIES.find("song")


def test_opens_a_checkpoint_with_validated_options(models: Callable[[str], Path]) -> None:
    spec = ModelSpec(id="m", engine="dino", source=str(models("dinov2")), options={"threads": 1})
    options, checkpoint = open_checkpoint(spec, find_engine("dino"), TorchOptions)
    assert (options, checkpoint.model_type) == (TorchOptions(threads=1), "dinov2")
    with pytest.raises(LoadFailed, match="`engine: dino`"):
        open_checkpoint(spec.model_copy(update={"engine": "blip"}), find_engine("blip"), TorchOptions)
