"""Imports transformers without scipy, torchao and torch's compiler, which training, saving and compiling use.

They take a third of the start of a worker. Afterwards they are there again, for whatever needs them: models that are
quantized with torchao, and models that compute with scipy. Models that are spread over several processes stay out:
no engine has them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from workers.toolkit.compiler_on_demand import import_without_compiler

_UNNEEDED = ("scipy", "torchao")
_MODELS = "transformers.modeling_utils"
"""What all models import. It imports the losses, which use scipy, and the quantizers, whose writer uses torchao."""
_MASKS = "transformers.masking_utils"
"""What models of texts import."""


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Within the block, these packages are not installed, except those that are imported already."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # so documented: importing it fails
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def import_models() -> None:
    """Import what all models need, unless that is imported already or transformers is not installed."""
    if _MODELS in sys.modules or importlib.util.find_spec("transformers") is None:
        return
    with _hidden(_UNNEEDED):
        for name in ("transformers.utils.import_utils", "transformers.utils"):
            importlib.import_module(name).is_torch_distributed_available = lambda: False  # type: ignore[attr-defined]
        import_without_compiler(_MODELS, _MASKS)
    from transformers.utils import is_scipy_available, is_torchao_available

    for is_available in (is_scipy_available, is_torchao_available):
        is_available.cache_clear()  # it remembers that there is none


import_models()
