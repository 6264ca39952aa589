"""Loads a checkpoint with mlx-lm or mlx-vlm, whichever has its architecture, onto Apple's GPU or the CPU."""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

from contract.config import ModelSpec
from contract.errors import LoadFailed
from workers.engine import Device
from workers.failures import own_code_message
from workers.toolkit import own_code, pretrained
from workers.toolkit.chat.constraints.vocabulary import Vocabulary
from workers.toolkit.pretrained import unsupported_message

BITS = {"4bit": 4, "8bit": 8}
_GROUP_SIZES = (64, 32)
"""How many weights share a scale: MLX's default first, the smaller one for rows that it does not divide."""


class MlxCheckpoint(pretrained.Checkpoint):
    """A model's local folder, and what MLX needs of its config.json and other files."""

    __slots__ = ()

    @property
    def is_quantized(self) -> bool:
        """Whether the saved weights are quantised already, as those of mlx-community are."""
        text = self.config.get("text_config") or {}
        return any(
            config.get(name) for config in (self.config, text) for name in ("quantization", "quantization_config")
        )

    def read(self, name: str) -> dict[str, Any]:
        """Another JSON file of the folder; empty if it does not exist."""
        file = self.folder / name
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return content

    def context(self, option: int | None) -> int | None:
        """The most tokens that prompt and answer may have together; None if neither config nor `option` limits it."""
        text = self.config.get("text_config") or {}
        configured = text.get("max_position_embeddings") or self.config.get("max_position_embeddings")
        return min((limit for limit in (configured, option) if limit), default=None)


@dataclass(frozen=True, slots=True)
class LoadedMlx:
    """A chat model that is ready. Without vision its processor is the tokenizer; `ends` are the end-of-turn tokens."""

    checkpoint: MlxCheckpoint
    model: Any
    processor: Any
    tokenizer: Any
    template: str | None
    ends: frozenset[int]
    vision: bool
    vocabulary: Vocabulary

    @property
    def token_count(self) -> int:
        """The number of tokens that the model has scores for."""
        config = self.checkpoint.config
        return int(
            (config.get("text_config") or {}).get("vocab_size") or config.get("vocab_size") or len(self.tokenizer)
        )

    @property
    def dtype(self) -> Any:
        """The precision of its weights; of quantised ones, that of their scales."""
        weights = (value for _, value in tree_flatten(self.model.parameters()))
        return next(value.dtype for value in weights if mx.issubdtype(value.dtype, mx.floating))


def read_checkpoint(spec: ModelSpec) -> MlxCheckpoint:
    """The checkpoint that `spec.source` names, downloaded if needed.

    Raises LoadFailed if it has no config.json, or needs code of its own (`model_file`) that its entry does not allow:
    mlx-vlm would run it without asking.
    """
    checkpoint = pretrained.read_checkpoint(spec)
    if checkpoint.config.get("model_file") and not spec.trust_remote_code:
        raise LoadFailed(own_code_message(spec.source))
    return MlxCheckpoint(checkpoint.spec, checkpoint.folder, checkpoint.config)


def _needs_mlx_vlm(checkpoint: MlxCheckpoint) -> bool:
    """Whether to load it with mlx-vlm: for vision, or because mlx-lm lacks it. Raises LoadFailed if both do."""
    from mlx_lm.utils import MODEL_REMAPPING
    from mlx_vlm.utils import get_model_type

    name = get_model_type(checkpoint.config) or ""
    in_vlm = _is_module("mlx_vlm.models", name)
    in_lm = _is_module("mlx_lm.models", MODEL_REMAPPING.get(checkpoint.model_type, checkpoint.model_type))
    if not (in_vlm or in_lm):
        raise LoadFailed(unsupported_message(checkpoint.spec, checkpoint.model_type))
    return not in_lm or (in_vlm and bool(checkpoint.config.get("vision_config")))


def load_chat(checkpoint: MlxCheckpoint, device: Device, quantization: str | None) -> LoadedMlx:
    """Load a text model with mlx-lm, or a vision model with mlx-vlm. Raises LoadFailed if neither library has it."""
    load = _load_vision if _needs_mlx_vlm(checkpoint) else _load_text
    with own_code.no_code_runs(checkpoint.spec):
        return load(checkpoint, device, quantization)


def _load_text(checkpoint: MlxCheckpoint, device: Device, quantization: str | None) -> LoadedMlx:
    from mlx_lm import utils

    trust = checkpoint.spec.trust_remote_code
    model, config = utils.load_model(checkpoint.folder, lazy=True, trust_remote_code=trust)
    ends = config.get("eos_token_id")
    tokenizer = utils.load_tokenizer(checkpoint.folder, {"trust_remote_code": trust}, eos_token_ids=ends)
    ended_by = frozenset(tokenizer.eos_token_ids)
    vocabulary = Vocabulary(tokenizer)  # is prepared while the weights are read
    _finalize(model, checkpoint, device, quantization)
    template = tokenizer.chat_template
    return LoadedMlx(checkpoint, model, tokenizer, tokenizer, template, ended_by, False, vocabulary)


def _load_vision(checkpoint: MlxCheckpoint, device: Device, quantization: str | None) -> LoadedMlx:
    from mlx_vlm import utils

    trust = checkpoint.spec.trust_remote_code
    with own_processors():
        model = utils.load_model(checkpoint.folder, lazy=True, trust_remote_code=trust)
        if not hasattr(model, "language_model"):
            raise LoadFailed(
                f"{checkpoint.spec.source} is of type {checkpoint.model_type!r}, which mlx-vlm cannot chat with. "
                "If it is an embedding model, write `tasks: [embeddings]` in its entry."
            )
        ends = getattr(model.config, "eos_token_id", None)
        processor = utils.load_processor(checkpoint.folder, eos_token_ids=ends, trust_remote_code=trust)
    if (image_processor := utils.load_image_processor(checkpoint.folder, trust_remote_code=trust)) is not None:
        processor.image_processor = image_processor
    if hasattr(processor.image_processor, "valid_kwargs"):
        processor.image_processor = _LenientImageProcessor(processor.image_processor)
    tokenizer = processor.tokenizer
    template = processor.chat_template or tokenizer.chat_template
    ended_by = frozenset(tokenizer.stopping_criteria.eos_token_ids)
    vocabulary = Vocabulary(tokenizer)
    _finalize(model, checkpoint, device, quantization)
    return LoadedMlx(checkpoint, model, processor, tokenizer, template, ended_by, True, vocabulary)


def load_embedding(checkpoint: MlxCheckpoint, device: Device, quantization: str | None) -> tuple[Any, Any]:
    """Load an embedding model and its tokenizer with mlx-vlm. Raises LoadFailed for any other kind of model."""
    from mlx_vlm import embedding_loader
    from mlx_vlm.models.pooling import EmbeddingOutput, read_pooling_config
    from transformers import AutoTokenizer

    name = embedding_loader.EMBEDDING_MODEL_REMAPPING.get(checkpoint.model_type, checkpoint.model_type)
    if not _is_module("mlx_vlm.models", name):
        raise LoadFailed(unsupported_message(checkpoint.spec, checkpoint.model_type))
    model = embedding_loader.load_embedding_model(checkpoint.folder, lazy=True)
    if getattr(inspect.getmodule(type(model)), EmbeddingOutput.__name__, None) is None:
        raise LoadFailed(
            f"{checkpoint.spec.source} is of type {checkpoint.model_type!r}, which mlx-vlm cannot make embeddings "
            "with. Remove `embeddings` from the `tasks` of its entry, or name an embedding model as its `source`."
        )
    model.pooling_config = read_pooling_config(checkpoint.folder)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, trust_remote_code=checkpoint.spec.trust_remote_code)
    _finalize(model, checkpoint, device, quantization)
    return model, tokenizer


def _finalize(model: Any, checkpoint: MlxCheckpoint, device: Device, quantization: str | None) -> None:
    """Set the precision, quantise if asked to, and only then read the weights, which were loaded with `lazy`."""
    if device.dtype != "auto":
        model.set_dtype(getattr(mx, device.dtype))
    if quantization and not checkpoint.is_quantized:
        _quantize(model, BITS[quantization])
    mx.eval(model.parameters())
    model.eval()


def _quantize(model: Any, bits: int) -> None:
    """Quantise all layers that support it, except the vision layers: they are few, and images suffer more than text."""
    from mlx_vlm.utils import skip_multimodal_module

    predicate = getattr(model, "quant_predicate", None)

    def choose(path: str, module: Any) -> bool | dict[str, int]:
        if not hasattr(module, "to_quantized") or skip_multimodal_module(path) or module.weight.size % 64:
            return False  # as in mlx-vlm's own conversions
        if predicate is not None and not predicate(path, module):
            return False
        group_size = next((size for size in _GROUP_SIZES if module.weight.shape[-1] % size == 0), None)
        return {"group_size": group_size, "bits": bits} if group_size else False

    nn.quantize(model, class_predicate=choose)


_patched: list[Any] = []
"""mlx-vlm's version of `AutoProcessor.from_pretrained`, while it is not installed."""


@contextmanager
def own_processors() -> Iterator[None]:
    """Make transformers' `AutoProcessor` return mlx-vlm's own processors, within this context only.

    Every module of mlx-vlm patches that class when it is imported, permanently and for the whole process.
    """
    from transformers import AutoProcessor

    original = AutoProcessor.__dict__["from_pretrained"]
    if _patched:
        AutoProcessor.from_pretrained = _patched.pop()
    try:
        yield
    finally:
        _patched[:] = [AutoProcessor.__dict__["from_pretrained"]]
        AutoProcessor.from_pretrained = original


class _LenientImageProcessor:
    """A transformers image processor that ignores keywords meant for the tokenizer.

    mlx-vlm passes `padding` to both, which transformers refuses for images (mlx-vlm issue 870: LLaVA, PaliGemma).
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
