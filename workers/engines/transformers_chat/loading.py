"""Loads a model and its processor: which Auto class serves a checkpoint is read from its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers.models.auto import modeling_auto

from contract.config import ModelSpec
from contract.errors import LoadFailed
from workers.engine import Device
from workers.toolkit import pretrained
from workers.toolkit.pretrained import Checkpoint, TorchOptions

_KINDS = {
    "AutoModelForImageTextToText": modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    "AutoModelForCausalLM": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
}
"""Auto class and its table from `model_type` to class name; a type in both is decided by its `architectures`."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready. For one without vision the processor is its tokenizer."""

    model: Any
    processor: Any
    tokenizer: Any
    vision: bool


def load(spec: ModelSpec, device: Device, options: TorchOptions) -> Loaded:
    """Load what `spec.source` names onto `device`. Raises LoadFailed with a sentence that says what to do."""
    found = pretrained.read_checkpoint(spec)
    kind = auto_class(found)
    vision = kind == "AutoModelForImageTextToText"
    processor = found.processor("AutoProcessor" if vision else "AutoTokenizer")
    tokenizer = processor.tokenizer if vision else processor
    tokenizer.padding_side = "left"  # an answer goes on where its prompt ends
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Loaded(found.model(kind, device, options), processor, tokenizer, vision)


def auto_class(found: Checkpoint) -> str:
    """The name of the Auto class that serves a checkpoint. Raises LoadFailed where none does."""
    remote = [kind for kind in _KINDS if kind in found.config.get("auto_map", {})]
    if remote and found.spec.trust_remote_code:
        return remote[0]
    fitting = [kind for kind, table in _KINDS.items() if found.model_type in table]
    if not fitting:
        raise LoadFailed(
            _foreign(found.spec) if remote else pretrained.unsupported_message(found.spec, found.model_type)
        )
    architectures = found.config.get("architectures") or []
    return next((kind for kind in fitting if _KINDS[kind][found.model_type] in architectures), fitting[0])


def is_for_chat(model_type: str) -> bool:
    """Whether an Auto class serves that type, and not only since an encoder of texts can be made to write as well."""
    encoders = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return any(model_type in table for table in _KINDS.values()) and model_type not in encoders


def _foreign(spec: ModelSpec) -> str:
    return (
        f"{spec.source} comes with code of its own. Set `trust_remote_code: true` in its entry if you trust it: "
        "the code then runs on this machine."
    )


def context_of(loaded: Loaded, option: int | None) -> int | None:
    """The most tokens that prompt and answer may have together; None where nobody says."""
    said = getattr(loaded.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    tokenizer = loaded.tokenizer.model_max_length
    known = [said or (tokenizer if tokenizer < 10**9 else None), option]  # 10**30 is transformers' "unknown"
    return min((limit for limit in known if limit), default=None)


def ends_of(loaded: Loaded) -> frozenset[int]:
    """The tokens that end an answer: the model's, and the one that closes a turn in the tokenizer's template."""
    ends = loaded.model.generation_config.eos_token_id
    both = [*(ends if isinstance(ends, list) else [ends]), loaded.tokenizer.eos_token_id]
    return frozenset(token for token in both if token is not None)


def take_recommended(model: Any) -> dict[str, Any]:
    """The sampling that the model's authors recommend. From then on `generate` itself is plain: we draw."""
    settings = model.generation_config
    recommended = {name: value for name, value in settings.to_dict().items() if value is not None}
    plain = {"do_sample": False, "num_beams": 1, "num_return_sequences": 1, "cache_implementation": None}
    drawn = ("temperature", "top_k", "top_p", "top_h", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
    unset = dict.fromkeys((*drawn, "max_length", "max_new_tokens"))
    for name, value in {**unset, **plain}.items():
        setattr(settings, name, value)
    return recommended
