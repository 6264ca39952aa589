"""Loads a model and its processor. The checkpoint's configuration decides which Auto class loads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers.models.auto import modeling_auto

from contract.config import ModelSpec
from contract.errors import LoadFailed
from workers.engine import Device
from workers.failures import own_code_message
from workers.toolkit import pretrained
from workers.toolkit.chat.constraints.vocabulary import Vocabulary
from workers.toolkit.pretrained import Checkpoint, TorchOptions

_AUTO_CLASSES = {
    "AutoModelForImageTextToText": modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    "AutoModelForCausalLM": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
}
"""Auto classes with their tables from `model_type` to class name. For a type in both, `architectures` decides."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A loaded model. For a model without vision, the processor is its tokenizer."""

    model: Any
    processor: Any
    tokenizer: Any
    vision: bool
    vocabulary: Vocabulary


def load(spec: ModelSpec, device: Device, options: TorchOptions) -> LoadedModel:
    """Load the model that `spec.source` names onto `device`. Raises LoadFailed with a sentence that says what to do."""
    checkpoint = pretrained.read_checkpoint(spec)
    class_name = auto_class(checkpoint)
    vision = class_name == "AutoModelForImageTextToText"
    processor = checkpoint.processor("AutoProcessor" if vision else "AutoTokenizer")
    tokenizer = processor.tokenizer if vision else processor
    tokenizer.padding_side = "left"  # an answer continues where its prompt ends
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    vocabulary = Vocabulary(tokenizer)  # is prepared while the weights are read
    return LoadedModel(checkpoint.model(class_name, device, options), processor, tokenizer, vision, vocabulary)


def auto_class(checkpoint: Checkpoint) -> str:
    """The name of the Auto class for a checkpoint. Raises LoadFailed if there is none."""
    spec, model_type = checkpoint.spec, checkpoint.model_type
    remote = [name for name in _AUTO_CLASSES if name in checkpoint.config.get("auto_map", {})]
    if remote and spec.trust_remote_code:
        return remote[0]
    suitable = [name for name, table in _AUTO_CLASSES.items() if model_type in table]
    if not suitable:
        raise LoadFailed(own_code_message(spec.source) if remote else pretrained.unsupported_message(spec, model_type))
    architectures = checkpoint.config.get("architectures") or []
    return next((name for name in suitable if _AUTO_CLASSES[name][model_type] in architectures), suitable[0])


def is_for_chat(model_type: str) -> bool:
    """Whether an Auto class loads this type. Text encoders do not count, though some can also generate text."""
    encoders = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return any(model_type in table for table in _AUTO_CLASSES.values()) and model_type not in encoders


def context_of(loaded: LoadedModel, option: int | None) -> int | None:
    """The maximum number of tokens of prompt and answer together; None if it is unknown."""
    positions = getattr(loaded.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    tokenizer = loaded.tokenizer.model_max_length
    limits = [positions or (tokenizer if tokenizer < 10**9 else None), option]  # 10**30 is transformers' "unknown"
    return min((limit for limit in limits if limit), default=None)


def end_tokens_of(loaded: LoadedModel) -> frozenset[int]:
    """The tokens that end an answer: the model's, and the tokenizer's, which closes a turn in the chat template."""
    model_tokens = loaded.model.generation_config.eos_token_id
    tokens = [*(model_tokens if isinstance(model_tokens, list) else [model_tokens]), loaded.tokenizer.eos_token_id]
    return frozenset(token for token in tokens if token is not None)


def take_recommended(model: Any) -> dict[str, Any]:
    """Return the authors' recommended sampling, and make `generate` take the best scores, since this engine samples."""
    settings = model.generation_config
    recommended = {name: value for name, value in settings.to_dict().items() if value is not None}
    greedy = {"do_sample": False, "num_beams": 1, "num_return_sequences": 1, "cache_implementation": None}
    sampling = ("temperature", "top_k", "top_p", "top_h", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
    processing = (
        "repetition_penalty", "no_repeat_ngram_size", "min_length", "min_new_tokens", "bad_words_ids",
        "remove_invalid_values", "suppress_tokens", "begin_suppress_tokens",
    )  # fmt: skip
    unset = dict.fromkeys((*sampling, *processing, "max_length", "max_new_tokens"))
    for name, value in {**unset, **greedy}.items():
        setattr(settings, name, value)
    return recommended
