"""Which checkpoints MLX loads and for what, and the errors for others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import LoadFailed
from tests.support.chat_engines import ask, drawn_image, load, text, with_images

Copy = Callable[..., Path]


def test_unknown_model_type_lists_the_engines(copy: Copy) -> None:
    with pytest.raises(LoadFailed, match=r"of type 'hyperchat'.*no engine.*mlx.*add an engine: one file"):
        load(copy("mlx_lm", model_type="hyperchat"), "mlx")


def test_model_type_of_another_engine_names_it(copy: Copy) -> None:
    with pytest.raises(LoadFailed, match=r"Write `engine: transformers_detect` in its entry"):
        load(copy("mlx_lm", model_type="grounding-dino"), "mlx")


def test_refuses_a_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"no config\.json"):
        load(tmp_path, "mlx")


@pytest.mark.parametrize("family", ["mlx_lm", "mlx_llava"])
def test_missing_chat_template_says_what_to_do(family: str, copy: Copy) -> None:
    folder = copy(family)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(LoadFailed, match=r"no chat template.*instruction-tuned version.*or set"):
        load(folder, "mlx")
    template = "{% for m in messages %}{{ m.content[0].text if m.content is not string else m.content }}{% endfor %}"
    assert text(ask(load(folder, "mlx", options={"chat_template": template}), "Hello"))


def test_embedding_model_as_chat_suggests_the_embeddings_task(models: Any) -> None:
    with pytest.raises(LoadFailed, match=r"cannot chat with.*write `tasks: \[embeddings\]`"):
        load(models("mlx_minilm"), "mlx")


def test_chat_model_as_embeddings_suggests_removing_the_task(models: Any) -> None:
    with pytest.raises(LoadFailed, match=r"cannot make embeddings with\. Remove `embeddings` from the `tasks`"):
        load(models("mlx_lm"), "mlx", tasks=["embeddings"])


def test_refuses_several_purposes_for_one_model(models: Any) -> None:
    with pytest.raises(LoadFailed, match=r"does only one of chat, embeddings"):
        load(models("mlx_lm"), "mlx", tasks=["chat", "embeddings"])


def test_remote_code_runs_only_if_trusted(copy: Copy, tmp_path: Path) -> None:
    folder = copy("mlx_lm", model_file="own.py")
    (folder / "own.py").write_text(
        f"import pathlib\nfrom mlx_lm.models.qwen2 import *\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    )
    with pytest.raises(LoadFailed, match="Python code of its own"):
        load(folder, "mlx")
    assert not (tmp_path / "ran").exists()
    assert text(ask(load(folder, "mlx", trust_remote_code=True), "Hello"))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("family", ["mlx_lm", "mlx_smolvlm"])
def test_quantised_weights_load_unchanged(family: str, models: Any, tmp_path: Path) -> None:
    """Saved as by mlx-community; the option then has no effect."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    folder = Path(shutil.copytree(models(family), tmp_path / family))
    small = load(folder, "mlx", options={"quantization": "4bit"})
    model = small._chat.loaded.model
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"})
    layers = {name: module for name, module in model.named_modules() if hasattr(module, "bits")}
    layer_settings = {name: {"group_size": layer.group_size, "bits": layer.bits} for name, layer in layers.items()}
    config = json.loads((folder / "config.json").read_text())
    config["quantization"] = {"group_size": 32, "bits": 4, **layer_settings}
    (folder / "config.json").write_text(json.dumps(config))
    content = with_images("Hm?", drawn_image()) if family == "mlx_smolvlm" else "Hm?"
    for options in ({}, {"quantization": "8bit"}):
        again = load(folder, "mlx", options=options)
        assert text(ask(again, content)) == text(ask(small, content))
