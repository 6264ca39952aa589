"""Decodes several choices together with the libraries' batch generators, which accept new rows between two steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mlx.core as mx

from workers.engines.mlx.loading import LoadedMlx
from workers.engines.mlx.prefix_cache import MlxPrefixCache
from workers.engines.mlx.prompt_scores import CHUNK, PromptScores
from workers.engines.mlx.prompts import MlxPrompt
from workers.engines.mlx.sampling import MlxSampler
from workers.step_meter import StepMeter
from workers.toolkit.chat.answer import NO_TOKEN
from workers.toolkit.mlx_runtime import count_buffers


class Decoder:
    """The running rows of one model, each with its own prompt, limit and sampler.

    Prompts are read one at a time, in chunks; all rows share each decode step. mlx-lm's generator can continue from
    the KV cache of an earlier conversation, mlx-vlm's cannot. Until `close`, the model is not paged out of the GPU.
    """

    def __init__(self, loaded: LoadedMlx, rows: int, prefixes: MlxPrefixCache, meter: StepMeter) -> None:
        shape = {"completion_batch_size": rows, "prefill_batch_size": 1, "prefill_step_size": CHUNK}
        stream = mx.default_stream(mx.default_device())
        self._vision, self._prefixes, self._meter = loaded.vision, prefixes, meter
        self._rows: dict[int, MlxSampler] = {}
        if self._vision:
            from mlx_vlm.generate import BatchGenerator

            language, processor = loaded.model.language_model, loaded.processor
            self._generator = BatchGenerator(language, processor, compute_logprobs=False, stream=stream, **shape)
        else:
            from mlx_lm.generate import BatchGenerator

            self._generator = BatchGenerator(loaded.model, stream=stream, **shape)

    def close(self) -> None:
        """Remove all rows and close the generator."""
        self.drop(list(self._rows))
        self._generator.close()

    def read(self, scores: PromptScores) -> None:
        """Read the next chunk of a prompt whose tokens are reported."""
        self._meter.read(scores.advance(), 0)

    def add(self, prompt: MlxPrompt, limit: int, sampler: MlxSampler) -> tuple[int, int]:
        """Add a row that generates up to `limit` tokens.

        Returns the row's number, and how many tokens of the prompt the prefix cache saves.
        """
        [row], reused = self._insert(prompt, [limit], [sampler.processors])
        self._rows[row] = sampler
        return int(row), reused

    def step(self) -> list[tuple[int, int]]:
        """Run a step. Returns (row, token) for each row that got a token; rows still in prefill get none.

        The token is NO_TOKEN if the model's scores are not numbers.
        """
        _, responses = self._generator.next()
        if responses:
            self._meter.step(len(responses))
            count_buffers(self._meter)
        tokens = [
            (response.uid, response.token if self._rows[response.uid].take_finite() else NO_TOKEN)
            for response in responses
        ]
        for response in responses:
            if response.finish_reason is not None:  # the generator has removed it
                del self._rows[response.uid]
                if not self._vision:
                    self._prefixes.put(response.all_tokens, response.prompt_cache)
        return tokens

    def drop(self, rows: Iterable[int]) -> None:
        """Remove rows, and put their KV caches into the prefix cache."""
        for row in rows:
            if self._vision:
                self._generator.remove(row)
            else:
                for cache, tokens in self._generator.remove([row], return_prompt_caches=True).values():
                    self._prefixes.put(tokens, cache)
            self._rows.pop(row, None)
        count_buffers(self._meter, prefix_cache=self._prefixes.bytes)

    def _insert(self, prompt: MlxPrompt, limits: list[int], processors: list[Any]) -> tuple[Any, int]:
        if self._vision:
            self._meter.read(len(prompt.tokens), 0)
            inputs = [{**prompt.inputs, **prompt.embed()}]
            rows = self._generator.insert([prompt.tokens], limits, logits_processors=processors, prompt_kwargs=inputs)
            return rows, 0
        cache, saved = prompt.scores.take_cache() if prompt.scores else None, 0
        unread = prompt.tokens[-1:]
        if cache is None:
            cache, unread = self._prefixes.match(prompt.tokens)
            saved = len(prompt.tokens) - len(unread)
        read = list(prompt.tokens[: len(prompt.tokens) - len(unread)])
        self._meter.read(len(unread), saved)
        rows = self._generator.insert([unread], limits, caches=[cache], all_tokens=[read], logits_processors=processors)
        return rows, saved
