"""Decodes several answers at once with the libraries' own batch generators, which take newcomers between two steps."""

from __future__ import annotations

from collections.abc import Iterable

import mlx.core as mx

from workers.engines.mlx.loading import LoadedMlx
from workers.engines.mlx.prompts import MlxPrompt
from workers.engines.mlx.sampling import MlxSampler

_PREFILL = 512
"""Tokens of a prompt that are read in one step: the others' next tokens wait for no more than that."""


class Decoder:
    """Rows at work in one model: each has a prompt, a limit and a sampler of its own.

    Prompts are read one at a time and each by itself, decoding is shared. mlx-lm's and mlx-vlm's generators differ
    only in what they are told with a prompt. While it is
    open, the model is kept from being paged out of a GPU's memory.
    """

    def __init__(self, loaded: LoadedMlx, rows: int) -> None:
        shape = {"completion_batch_size": rows, "prefill_batch_size": 1, "prefill_step_size": _PREFILL}
        stream = mx.default_stream(mx.default_device())
        self._vision = loaded.vision
        if self._vision:
            from mlx_vlm.generate import BatchGenerator

            language, processor = loaded.model.language_model, loaded.processor
            self._generator = BatchGenerator(language, processor, compute_logprobs=False, stream=stream, **shape)
        else:
            from mlx_lm.generate import BatchGenerator

            self._generator = BatchGenerator(loaded.model, stream=stream, **shape)

    def close(self) -> None:
        """Forget all rows."""
        self._generator.close()

    def add(self, prompt: MlxPrompt, limit: int, sampler: MlxSampler) -> int:
        """Begin an answer of up to `limit` tokens. Gives the row's number."""
        more = {"prompt_kwargs": [dict(prompt.inputs)]} if self._vision else {}
        [row] = self._generator.insert([prompt.tokens], [limit], logits_processors=[sampler.processors], **more)
        return int(row)

    def step(self) -> list[tuple[int, int]]:
        """The next token of every row that has one by now: (row, token)."""
        _, made = self._generator.next()
        return [(response.uid, response.token) for response in made]

    def drop(self, rows: Iterable[int]) -> None:
        """Forget rows that need no further token."""
        for row in rows:
            self._generator.remove(row if self._vision else [row])
