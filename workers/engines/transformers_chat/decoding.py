"""The decoding loop: one step of the model at a time for a batch in which each row has its own end.

`model.generate` prepares what a family needs (positions, masks, cache, pictures) and hands over to this loop, which
it takes as `custom_generate`. So a row can be sampled, stopped or left by its client without the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

from workers.engines.transformers_chat.answer import Choice


def decode(model: Any, inputs: Any, rows: Sequence[Choice]) -> Iterator[list[tuple[Choice, int]]]:
    """After each step, the token of every row that is not over yet. Ends when all are.

    `inputs` is what the processor made of the rows' prompts, padded on the left; who iterates pushes the tokens into
    the rows, and thereby says which of them are over.
    """
    longest = max(row.limit for row in rows)
    steps: Iterator[list[tuple[Choice, int]]] = model.generate(
        **inputs, rows=rows, max_new_tokens=longest, custom_generate=_steps
    )
    return steps


def _steps(
    model: Any, input_ids: Any, *, rows: Sequence[Choice], logits_processor: Any, **kwargs: Any
) -> Iterator[list[tuple[Choice, int]]]:
    for not_used in ("stopping_criteria", "generation_config"):  # rows know their own ends and samplers
        kwargs.pop(not_used)
    batch = _Batch(model, input_ids, logits_processor, kwargs)
    alive = list(rows)
    while alive:
        with torch.inference_mode():  # not held across the yield
            tokens = _pick(batch.forward(), alive)
            batch.append(tokens)
        yield [(row, token) for row, token in zip(alive, tokens, strict=True) if not row.is_over]
        with torch.inference_mode():
            alive = batch.keep(alive)


def _pick(scores: Any, rows: Sequence[Choice]) -> list[int]:
    """The next token of each row, given scores (rows, vocabulary)."""
    best: list[int] = scores.argmax(-1).tolist()
    return [
        token if row.is_over or row.sampler.is_plain else row.sampler.pick(scores[number])
        for number, (row, token) in enumerate(zip(rows, best, strict=True))
    ]


class _Batch:
    """The model's inputs and its cache between two steps.

    The order of the calls is that of transformers' own `_sample`, whose two hooks the families override.
    """

    def __init__(self, model: Any, input_ids: Any, processors: Any, kwargs: dict[str, Any]) -> None:
        self._model = model
        self._ids = input_ids
        self._processors = processors
        self._kwargs = kwargs
        self._first = True

    def forward(self) -> Any:
        """Scores of the next token, (rows, vocabulary) in float32."""
        width = None if self._first or not self._kwargs.get("use_cache") else 1
        inputs = self._model.prepare_inputs_for_generation(
            self._ids, next_sequence_length=width, is_first_iteration=self._first, **self._kwargs
        )
        outputs = self._model(**inputs, return_dict=True)
        self._kwargs = self._model._update_model_kwargs_for_generation(outputs, self._kwargs)
        self._first = False
        return self._processors(self._ids, outputs.logits[:, -1].to(torch.float32, copy=True))

    def append(self, tokens: Sequence[int]) -> None:
        """Let each row go on with its token."""
        column = torch.tensor(tokens, dtype=self._ids.dtype, device=self._ids.device)
        self._ids = torch.cat([self._ids, column[:, None]], dim=-1)

    def keep(self, rows: list[Choice]) -> list[Choice]:
        """Drop the rows that are over, where the cache allows it; else they go on unseen. Gives those that are left."""
        alive = [number for number, row in enumerate(rows) if not row.is_over]
        if not alive:
            return []
        if len(alive) == len(rows) or not self._can_shrink():
            return rows
        index = torch.tensor(alive, device=self._ids.device)
        self._ids = self._ids[index]
        self._kwargs["past_key_values"].batch_select_indices(index)
        for name in ("attention_mask", "token_type_ids", "mm_token_type_ids"):
            if self._kwargs.get(name) is not None:
                self._kwargs[name] = self._kwargs[name][index]
        if (positions := self._kwargs.get("position_ids")) is not None:
            self._kwargs["position_ids"] = positions.index_select(-2, index)  # (rows, n), or (axes, rows, n)
        return [rows[number] for number in alive]

    def _can_shrink(self) -> bool:
        """Only plain caches can; and processors such as the repetition penalty remember the rows by their number."""
        layers = getattr(self._kwargs.get("past_key_values"), "layers", None)
        return bool(layers) and not self._processors and all(type(layer) is DynamicLayer for layer in layers or ())
