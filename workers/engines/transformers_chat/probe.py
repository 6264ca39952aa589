"""Checks at load whether requests can share a model's decode steps, by comparing the loop's scores with `generate`'s.

The probe reads two short prompts, one of them also in two chunks, joins them, and decodes one step for both. The
shorter row then has hidden columns, and must get the scores that `generate` computes for it alone. So a change in
transformers (another name for the cache, other masks, other positions) is detected before the first request. A
vision-language model without an adapter is also probed with an image.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch

from workers.engines.transformers_chat import library
from workers.engines.transformers_chat.loading import LoadedModel
from workers.engines.transformers_chat.model_runner import ModelRunner
from workers.engines.transformers_chat.prefill import NO_PREFIX, Prefill
from workers.engines.transformers_chat.prompt_row import PromptRow, moved
from workers.failures import summarize
from workers.toolkit.finite import is_finite

log = logging.getLogger(__name__)

_TEXT = "What is the capital of France?"
_SHORT, _LONG = 5, 8
"""The lengths of the two prompts, in tokens."""
_EXACT, _ROUNDED = 1e-3, 0.1
"""How far scores may differ, relative to their spread, in float32 and in less precise types. Some difference is normal,
since rounding depends on the batch size."""

Inputs = Mapping[str, Any]


def obstacle(model: Any) -> str | None:
    """Why only `generate` can run the model, as a clause after `no, because`; None if no reason is known."""
    if library.runs_its_own_code(model):
        return "its code comes from the checkpoint and may keep state between steps"
    if model.config.is_encoder_decoder:
        return "it has an encoder for prompts"
    if unknown := library.unknown_layers(library.new_cache(model)):
        return f"its cache has layers that cannot be joined ({', '.join(sorted(unknown))})"
    return None


def examine(runner: ModelRunner, loaded: LoadedModel, image: Inputs | None) -> str | None:
    """Why requests cannot share steps, as a clause after `no, because`; None if they can.

    `image` has the inputs of a prompt with an image, or is None. Sets `runner.reads_in_chunks`.
    """
    ids = torch.tensor([(loaded.tokenizer(_TEXT, add_special_tokens=False)["input_ids"] * _LONG)[:_LONG]])
    try:
        with torch.inference_mode():
            return _differs(runner, {"input_ids": ids[:, :_SHORT]}, PromptRow(ids[0])) or (
                _differs(runner, image, PromptRow(ids[0])) if image else None
            )
    except Exception as error:
        log.warning("probing the model failed", exc_info=error)
        return f"probing it failed: {summarize(error)}"


def _differs(runner: ModelRunner, inputs: Inputs, neighbour: PromptRow) -> str | None:
    expected = _generated(runner.model, inputs)
    if not is_finite(expected[0]):
        return f"it computes scores of NaN or infinity in {runner.model.dtype}"
    row = runner.family.row(inputs)
    if runner.reads_in_chunks and not row.whole:
        scores, _ = _read(runner, row, chunks=2)
        runner.reads_in_chunks = _is_near(scores, expected[0], runner.model)
        if not runner.reads_in_chunks:
            log.warning("no chunked prefill, no prefix cache: the model computes other scores for a prompt in chunks")
    scores, prefill = _read(runner, row, chunks=1)
    if not _is_near(scores, expected[0], runner.model):
        return "the scores after a prompt differ from those of transformers' generate"
    second = _joined(runner, prefill, _read(runner, neighbour, chunks=1)[1], int(expected[2]))
    if not _is_near(second, expected[1], runner.model):
        return "the scores in a shared step differ from those of transformers' generate"
    return None


def _generated(model: Any, inputs: Inputs) -> tuple[Any, Any, Any]:
    """The scores that `generate` computes for two tokens, (vocabulary,) each, and the first token."""
    settings = {"max_new_tokens": 2, "min_new_tokens": 2, "do_sample": False}
    outputs = model.generate(**moved(inputs, model), **settings, output_logits=True, return_dict_in_generate=True)
    first, second = (scores[0].float() for scores in outputs.logits)
    return first, second, outputs.sequences[0, -2]


def _read(runner: ModelRunner, row: PromptRow, chunks: int) -> tuple[Any, Prefill]:
    """Read a prompt in `chunks` chunks. Returns the scores (vocabulary,) after it, and the prefill."""
    prefill = Prefill(runner, [row], [NO_PREFIX])
    scores = None
    while scores is None:
        scores = prefill.advance(-(-len(row) // chunks))
    return scores[0], prefill


def _joined(runner: ModelRunner, probed: Prefill, neighbour: Prefill, token: int) -> Any:
    """The scores (vocabulary,) after `token` in the probed prompt, in a step shared with its neighbour."""
    width = max(probed.width, neighbour.width) + 1
    rows = [*neighbour.rows, *probed.rows]
    neighbour.cache.join(probed.cache)
    mask = runner.mask([width - 1 - len(row) for row in rows], width)
    tokens = torch.full((2, 1), token, device=runner.device)
    positions = runner.next_positions(rows)[..., None]
    return runner.step({"input_ids": tokens}, neighbour.cache, mask, positions)[1]


def _is_near(scores: Any, expected: Any, model: Any) -> bool:
    is_exact = model.dtype == torch.float32 and not hasattr(model.config, "quantization_config")
    spread = (expected - expected.mean()).norm()
    return bool((scores - expected).norm() <= (_EXACT if is_exact else _ROUNDED) * spread)
