"""Finds out at load whether requests can share a model's steps: whether the loop says what `generate` says.

Two short prompts are read, one of them in two pieces; they are joined, and one step is done for both. The scores of the
shorter one, which then has hidden columns, must be those that transformers' own `generate` reports for it alone. So
whatever a new release moves (the name of the cache, what a mask means, how tokens are numbered) is found before the
first request. A vision-language model without a tested adapter is asked about a image as well.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch

from workers.engines.transformers_chat import library
from workers.engines.transformers_chat.loading import LoadedModel
from workers.engines.transformers_chat.machine import Machine
from workers.engines.transformers_chat.prefill import NOTHING, Prefill
from workers.engines.transformers_chat.prompt_row import PromptRow, moved
from workers.failures import summarize

log = logging.getLogger(__name__)

_TEXT = "What is the capital of France?"
_SHORT, _LONG = 5, 8
"""Tokens of the two prompts."""
_TOLERANCES = {torch.float32: 1e-3}
_TOLERANCE = 0.1
"""How far scores may differ, of their own spread: rounding, which grows with fewer bits and in other shapes."""

Inputs = Mapping[str, Any]


def obstacle(model: Any) -> str | None:
    """Why no loop but the library's own can run the model, as the end of `no, because …`; None: nothing known."""
    if library.runs_its_own_code(model):
        return "its code came with the checkpoint, and may keep something of the rows to itself"
    if model.config.is_encoder_decoder:
        return "it has an encoder for its prompts"
    if unknown := library.unknown_layers(library.new_cache(model)):
        return f"its cache has layers that cannot be joined ({', '.join(sorted(unknown))})"
    return None


def examine(machine: Machine, loaded: LoadedModel, image: Inputs | None) -> str | None:
    """Why requests cannot share steps; None: they can. `image` are inputs of a prompt with one, to be tried as well.

    Notes in `machine` whether prompts can be read in pieces.
    """
    ids = torch.tensor([(loaded.tokenizer(_TEXT, add_special_tokens=False)["input_ids"] * _LONG)[:_LONG]])
    try:
        with torch.inference_mode():
            return _differs(machine, {"input_ids": ids[:, :_SHORT]}, PromptRow(ids[0])) or (
                _differs(machine, image, PromptRow(ids[0])) if image else None
            )
    except Exception as error:
        log.warning("the loop cannot run the model", exc_info=error)
        return f"a trial failed: {summarize(error)}"


def _differs(machine: Machine, inputs: Inputs, neighbour: PromptRow) -> str | None:
    expected = _generated(machine.model, inputs)
    row = machine.family.row(inputs)
    if machine.reads_in_pieces and not row.whole:
        scores, _ = _read(machine, row, pieces=2)
        machine.reads_in_pieces = _is_near(scores, expected[0], machine.model.dtype)
        if not machine.reads_in_pieces:
            log.warning("prompts are read whole, and again in every turn: in pieces the model reads them differently")
    scores, prefill = _read(machine, row, pieces=1)
    if not _is_near(scores, expected[0], machine.model.dtype):
        return "a prompt that is read here gives other scores than in transformers' generate"
    second = _joined(machine, prefill, _read(machine, neighbour, pieces=1)[1], int(expected[2]))
    if not _is_near(second, expected[1], machine.model.dtype):
        return "a row that shares a step gets other scores than in transformers' generate"
    return None


def _generated(model: Any, inputs: Inputs) -> tuple[Any, Any, Any]:
    """What the library says: the scores of two tokens, (vocabulary,) each, and the first of them."""
    settings = {"max_new_tokens": 2, "min_new_tokens": 2, "do_sample": False}
    said = model.generate(**moved(inputs, model), **settings, output_logits=True, return_dict_in_generate=True)
    first, second = (scores[0].float() for scores in said.logits)
    return first, second, said.sequences[0, -2]


def _read(machine: Machine, row: PromptRow, pieces: int) -> tuple[Any, Prefill]:
    """The scores (vocabulary,) after a prompt, read in so many pieces."""
    prefill = Prefill(machine, [row], [NOTHING])
    scores = None
    while scores is None:
        scores = prefill.advance(-(-len(row) // pieces))
    return scores[0], prefill


def _joined(machine: Machine, one: Prefill, other: Prefill, token: int) -> Any:
    """The scores (vocabulary,) of the first prompt's next token, in a step that it shares with the second."""
    width = max(one.width, other.width) + 1
    rows = [*other.rows, *one.rows]
    other.cache.join(one.cache)
    mask = machine.mask([width - 1 - len(row) for row in rows], width)
    tokens = torch.full((2, 1), token, device=machine.device)
    positions = machine.next_positions(rows)[..., None]
    return machine.step({"input_ids": tokens}, other.cache, mask, positions)[1]


def _is_near(scores: Any, expected: Any, dtype: Any) -> bool:
    spread = (expected - expected.mean()).norm()
    return bool((scores - expected).norm() <= _TOLERANCES.get(dtype, _TOLERANCE) * spread)
