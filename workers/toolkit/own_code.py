"""Repositories that come with Python code of their own, which runs only if the entry says `trust_remote_code: true`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from contract.config import ModelSpec
from contract.errors import LoadFailed
from workers.failures import own_code_message

_SHOWN = 3
"""How many missing weights an error names."""


@contextmanager
def needed_code_refused(source: str) -> Iterator[None]:
    """Refuse a model of transformers that needs its own code, within this context.

    Such a model may name a type that transformers knows, such as `bert`. Without its code, transformers loads the class
    of that type instead, gives random values to the weights that it does not find, and its answers would be nonsense.
    Raises LoadFailed.
    """
    from transformers import PreTrainedModel

    original = PreTrainedModel.__dict__["from_pretrained"]
    PreTrainedModel.from_pretrained = classmethod(_checking(original.__func__, source))
    try:
        yield
    finally:
        PreTrainedModel.from_pretrained = original


@contextmanager
def no_code_runs(spec: ModelSpec) -> Iterator[None]:
    """Run no code of a repository, within this context, unless the entry allows it. Raises LoadFailed instead.

    For libraries that pass `trust_remote_code=True` to transformers themselves, as mlx-vlm does for some processors.
    """
    if spec.trust_remote_code:
        yield
        return
    from transformers import dynamic_module_utils

    def refuse(*_: Any, **__: Any) -> Any:
        raise LoadFailed(own_code_message(spec.source))

    original = dynamic_module_utils.get_class_in_module
    dynamic_module_utils.get_class_in_module = refuse
    try:
        yield
    finally:
        dynamic_module_utils.get_class_in_module = original


def _checking(load: Callable[..., Any], source: str) -> Callable[..., Any]:
    def from_pretrained(cls: Any, *arguments: Any, output_loading_info: bool = False, **keywords: Any) -> Any:
        model, loading = load(cls, *arguments, output_loading_info=True, **keywords)
        _check(model, loading["missing_keys"], source)
        return (model, loading) if output_loading_info else model

    return from_pretrained


def _check(model: Any, missing_weights: Any, source: str) -> None:
    """Raise LoadFailed if the class is transformers' own, although the model has one, and weights are missing."""
    has_own_class = any(name.startswith("AutoModel") for name in getattr(model.config, "auto_map", None) or {})
    if not has_own_class or not type(model).__module__.startswith("transformers.models."):
        return
    missing = sorted(name for name in missing_weights if "pooler" not in name)  # many models are saved without
    if missing:
        some = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise LoadFailed(f"{own_code_message(source)} Without it, {len(missing)} weights are missing ({some}).")
