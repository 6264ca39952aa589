"""Imports transformers without scipy and torchao, which it would import although only training and saving use them.

Those two take a sixth of the start of a worker. Afterwards they are there again, for whatever needs them: models that
are quantized with torchao, and models that compute with scipy.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_UNNEEDED = ("scipy", "torchao")
_MODELS = "transformers.modeling_utils"
"""What all models import. It imports the losses, which use scipy, and the quantizers, whose writer uses torchao."""


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
        importlib.import_module(_MODELS)
    from transformers.utils import is_scipy_available, is_torchao_available

    for is_available in (is_scipy_available, is_torchao_available):
        is_available.cache_clear()  # it remembers that there is none


import_models()
