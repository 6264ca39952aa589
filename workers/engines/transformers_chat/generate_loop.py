"""Answers one request after another with transformers' `generate`: slower, but it runs every model."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from workers.engine import Feed
from workers.engines.transformers_chat.answer_maker import AnswerMaker
from workers.engines.transformers_chat.chat_prompt import ChatPrompt
from workers.engines.transformers_chat.prompt_queue import PromptQueue
from workers.engines.transformers_chat.prompt_row import moved
from workers.engines.transformers_chat.sampling import exclude, pick
from workers.step_meter import StepMeter
from workers.toolkit.chat.answer import NO_TOKEN, AnswerEvent, ChatChoice
from workers.toolkit.chat.constraints.masks import RowMasks


class GenerateLoop:
    """Answers calls and their choices one by one. `generate` runs in its own thread, which passes each token on."""

    def __init__(
        self,
        model: Any,
        feed: Feed[Any],
        answers: AnswerMaker,
        meter: StepMeter,
    ) -> None:
        self._model, self._feed, self._meter = model, feed, meter
        self._answers = answers
        self._queue = PromptQueue(answers.open)

    def run(self) -> Iterator[AnswerEvent]:
        """Run until no call is left."""
        while calls := self._feed.take(1):
            self._queue.add(calls)
            while prompt := self._queue.next(room=calls[0].request.n or 1):
                try:
                    yield from self._answer(prompt)
                except Exception as error:
                    prompt.choices[0].answer.failed = True
                    self._queue.refuse(calls[0], error)
            while self._queue.refused:
                yield self._queue.refused.popleft()

    def _answer(self, prompt: ChatPrompt) -> Iterator[AnswerEvent]:
        for choice in prompt.choices:
            if not choice.is_finished:
                yield from self._answers.begin(choice)
            if choice.is_finished:  # also one of no tokens
                continue
            generation = Generation(self._model, prompt, choice)
            try:
                for token in generation.tokens():
                    self._meter.step(1)
                    yield from self._answers.advance(choice, token)
                    if choice.is_finished:
                        break
            finally:
                generation.stop()


class Generation:
    """One run of `generate`, for one choice, in a thread of its own."""

    def __init__(self, model: Any, prompt: ChatPrompt, choice: ChatChoice) -> None:
        self._model, self._prompt, self._choice = model, prompt, choice
        self._results: queue.SimpleQueue[int | Exception | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="generate", daemon=True)
        self._thread.start()

    def tokens(self) -> Iterator[int]:
        """The tokens, one by one, as they are generated. Raises what `generate` raises."""
        while (result := self._results.get()) is not None:
            if isinstance(result, Exception):
                raise result
            yield result

    def stop(self) -> None:
        """Stop `generate` before its next token, and wait until it has ended."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                self._model.generate(
                    **self._inputs(),
                    max_new_tokens=self._choice.limit,
                    logits_processor=LogitsProcessorList([TokenChooser(self._choice, self._results.put)]),
                    stopping_criteria=StoppingCriteriaList([Stopped(self._stopped)]),
                )
            self._results.put(None)
        except Exception as error:
            self._results.put(error)

    def _inputs(self) -> dict[str, Any]:
        assert self._prompt.row.whole is not None, "prompts of this loop keep all inputs of the processor"
        return moved(self._prompt.row.whole, self._model)


class TokenChooser(LogitsProcessor):  # type: ignore[misc]
    """Picks the next token with the choice's sampler, and masks all others so that `generate` takes it."""

    def __init__(self, choice: ChatChoice, put: Callable[[int], None]) -> None:
        self._choice, self._put = choice, put
        self._has_begun = False

    def __call__(self, tokens: Any, scores: Any) -> Any:
        if not self._has_begun:
            self._choice.sampler.begin(tokens[0])
            self._has_begun = True
        token = self._pick(scores) if scores[0].max().isfinite() else NO_TOKEN
        self._put(token)
        masked = torch.full_like(scores, -torch.inf)
        masked[0, max(token, 0)] = 0
        return masked

    def _pick(self, scores: Any) -> int:
        row = scores[:1].to(torch.float32, copy=True)
        constraint = self._choice.constraint
        exclude(row, RowMasks([constraint], row.shape[-1]))
        [token] = pick([self._choice.sampler], row)
        self._choice.sampler.note(token, scores[0])
        if constraint is not None:
            constraint.advance(constraint.tokens + 1, token)  # before the next step, for which `put` does not wait
        return token


class Stopped(StoppingCriteria):  # type: ignore[misc]
    """Ends `generate` once the event is set, because no client needs the next token."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped

    def __call__(self, input_ids: Any, *_: Any, **__: Any) -> Any:
        return torch.full((len(input_ids),), self._stopped.is_set(), device=input_ids.device)
