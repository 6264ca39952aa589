"""Loads a checkpoint with mlx-lm or mlx-vlm, whichever has its architecture, onto Apple's GPU or the CPU."""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import mlx.core as mx
from mlx import nn

from contract.config import ModelSpec
from contract.errors import LoadFailed
from workers.engine import Device
from workers.toolkit import pretrained
from workers.toolkit.pretrained import unsupported_message

Answered = TypeVar("Answered")

BITS = {"4bit": 4, "8bit": 8}
_GROUPS = (64, 32)
"""Weights that share a scale; MLX's own choice first, the smaller for rows that it does not divide."""


class MlxCheckpoint(pretrained.Checkpoint):
    """A model's folder on this machine, and what its config.json and other files say to MLX."""

    __slots__ = ()

    @property
    def is_quantized(self) -> bool:
        """Whether the weights are saved in fewer bits already, as those of mlx-community are."""
        text = self.config.get("text_config") or {}
        return any(
            config.get(name) for config in (self.config, text) for name in ("quantization", "quantization_config")
        )

    def read(self, name: str) -> dict[str, Any]:
        """Another JSON file of the folder; nothing where there is none of that name."""
        file = self.folder / name
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return content

    def context(self, option: int | None) -> int | None:
        """The most tokens that prompt and answer may have together; None where nobody says."""
        text = self.config.get("text_config") or {}
        said = text.get("max_position_embeddings") or self.config.get("max_position_embeddings")
        return min((limit for limit in (said, option) if limit), default=None)


@dataclass(frozen=True, slots=True)
class LoadedMlx:
    """A chat model that is ready. For one without vision the processor is its tokenizer; `ends` are tokens."""

    found: MlxCheckpoint
    model: Any
    processor: Any
    tokenizer: Any
    template: str | None
    ends: frozenset[int]
    vision: bool


def use(device: Device) -> None:
    """Compute where the manager says. `mlx` is Apple's GPU, and the CPU where there is none (`mlx[cpu]` on Linux)."""
    on_gpu = device.kind == "mlx" and mx.metal.is_available()
    mx.set_default_device(mx.gpu if on_gpu else mx.cpu)
    if not on_gpu:
        mx.disable_compile()  # which needs a C++ compiler on the machine, and seconds for each new function


def releasing(answers: Iterator[Answered]) -> Iterator[Answered]:
    """The answers; after the last one, give back the memory that MLX keeps for what might come next."""
    try:
        yield from answers
    finally:
        mx.clear_cache()


def checkpoint(spec: ModelSpec) -> MlxCheckpoint:
    """What `spec.source` names, downloaded if need be. Raises LoadFailed where that is no model of this kind."""
    found = pretrained.read_checkpoint(spec)
    return MlxCheckpoint(found.spec, found.folder, found.config)


def _has_vision(found: MlxCheckpoint) -> bool:
    """Whether mlx-vlm is the library for it: it sees, or mlx-lm does not know it. Raises LoadFailed if neither does."""
    from mlx_lm.utils import MODEL_REMAPPING
    from mlx_vlm.utils import get_model_type

    name = get_model_type(found.config) or ""
    in_vlm = _is_module("mlx_vlm.models", name)
    in_lm = _is_module("mlx_lm.models", MODEL_REMAPPING.get(found.model_type, found.model_type))
    if not (in_vlm or in_lm):
        raise LoadFailed(unsupported_message(found.spec, found.model_type))
    return not in_lm or (in_vlm and bool(found.config.get("vision_config")))


def load_chat(found: MlxCheckpoint, device: Device, quantization: str | None) -> LoadedMlx:
    """A language model through mlx-lm, or one that sees through mlx-vlm. Raises LoadFailed where neither can."""
    load = _load_vision if _has_vision(found) else _load_text
    return load(found, device, quantization)


def _load_text(found: MlxCheckpoint, device: Device, quantization: str | None) -> LoadedMlx:
    from mlx_lm import utils

    trust = found.spec.trust_remote_code
    model, config = utils.load_model(found.folder, lazy=True, trust_remote_code=trust)
    ends = config.get("eos_token_id")
    tokenizer = utils.load_tokenizer(found.folder, {"trust_remote_code": trust}, eos_token_ids=ends)
    ended_by = frozenset(tokenizer.eos_token_ids)
    _settle(model, found, device, quantization)
    return LoadedMlx(found, model, tokenizer, tokenizer, tokenizer.chat_template, ended_by, vision=False)


def _load_vision(found: MlxCheckpoint, device: Device, quantization: str | None) -> LoadedMlx:
    from mlx_vlm import utils

    trust = found.spec.trust_remote_code
    with own_processors():
        model = utils.load_model(found.folder, lazy=True, trust_remote_code=trust)
        if not hasattr(model, "language_model"):
            raise LoadFailed(
                f"{found.spec.source} is of type {found.model_type!r}, with which mlx-vlm does not chat. If it is an "
                "embedding model, write `tasks: [embeddings]` in its entry."
            )
        ends = getattr(model.config, "eos_token_id", None)
        processor = utils.load_processor(found.folder, eos_token_ids=ends, trust_remote_code=trust)
    if (pictures := utils.load_image_processor(found.folder, trust_remote_code=trust)) is not None:
        processor.image_processor = pictures
    if hasattr(processor.image_processor, "valid_kwargs"):
        processor.image_processor = _Lenient(processor.image_processor)
    tokenizer = processor.tokenizer
    template = processor.chat_template or tokenizer.chat_template
    ended_by = frozenset(tokenizer.stopping_criteria.eos_token_ids)
    _settle(model, found, device, quantization)
    return LoadedMlx(found, model, processor, tokenizer, template, ended_by, vision=True)


def load_embedding(found: MlxCheckpoint, device: Device, quantization: str | None) -> tuple[Any, Any]:
    """An embedding model and its tokenizer, through mlx-vlm. Raises LoadFailed for a model of another kind."""
    from mlx_vlm import embedding_loader
    from mlx_vlm.models.pooling import EmbeddingOutput, read_pooling_config
    from transformers import AutoTokenizer

    name = embedding_loader.EMBEDDING_MODEL_REMAPPING.get(found.model_type, found.model_type)
    if not _is_module("mlx_vlm.models", name):
        raise LoadFailed(unsupported_message(found.spec, found.model_type))
    model = embedding_loader.load_embedding_model(found.folder, lazy=True)
    if getattr(inspect.getmodule(type(model)), EmbeddingOutput.__name__, None) is None:
        raise LoadFailed(
            f"{found.spec.source} is of type {found.model_type!r}, with which mlx-vlm makes no embeddings. Take "
            "`embeddings` out of the `tasks` of its entry, or name an embedding model as its `source`."
        )
    model.pooling_config = read_pooling_config(found.folder)
    tokenizer = AutoTokenizer.from_pretrained(found.folder, trust_remote_code=found.spec.trust_remote_code)
    _settle(model, found, device, quantization)
    return model, tokenizer


def _settle(model: Any, found: MlxCheckpoint, device: Device, quantization: str | None) -> None:
    """Bring it into its precision, quantise it if asked for, and read it from disk: until here nothing was (`lazy`)."""
    if device.dtype != "auto":
        model.set_dtype(getattr(mx, device.dtype))
    if quantization and not found.is_quantized:
        _quantize(model, BITS[quantization])
    mx.eval(model.parameters())
    model.eval()


def _quantize(model: Any, bits: int) -> None:
    """All layers that can be, but for those that see: they are few, and pictures suffer more than text does."""
    from mlx_vlm.utils import skip_multimodal_module

    own = getattr(model, "quant_predicate", None)

    def choose(path: str, module: Any) -> bool | dict[str, int]:
        if not hasattr(module, "to_quantized") or skip_multimodal_module(path) or module.weight.size % 64:
            return False  # as in mlx-vlm's own conversions
        if own is not None and not own(path, module):
            return False
        group = next((size for size in _GROUPS if module.weight.shape[-1] % size == 0), None)
        return {"group_size": group, "bits": bits} if group else False

    nn.quantize(model, class_predicate=choose)


_patched: list[Any] = []


@contextmanager
def own_processors() -> Iterator[None]:
    """Let transformers' `AutoProcessor` give mlx-vlm's own processors, for so long and no longer.

    Each module of mlx-vlm changes that class when it is imported, for the whole process and for good.
    """
    from transformers import AutoProcessor

    before = AutoProcessor.__dict__["from_pretrained"]
    if _patched:
        AutoProcessor.from_pretrained = _patched.pop()
    try:
        yield
    finally:
        _patched[:] = [AutoProcessor.__dict__["from_pretrained"]]
        AutoProcessor.from_pretrained = before


class _Lenient:
    """An image processor of transformers that overlooks keywords which are meant for the tokenizer.

    mlx-vlm hands `padding` to both, which transformers refuses for pictures (its issue 870: LLaVA, PaliGemma).
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def __call__(self, images: Any, **keywords: Any) -> Any:
        known = self._processor.valid_kwargs.__annotations__
        return self._processor(images, **{name: value for name, value in keywords.items() if name in known})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)


def _is_module(package: str, name: str) -> bool:
    return bool(name) and name.isidentifier() and importlib.util.find_spec(f"{package}.{name}") is not None
