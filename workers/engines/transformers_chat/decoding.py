"""Rows that share the steps of a model: begun from prompts, joined by newcomers, left one by one.

`model.generate` prepares what a family needs (positions, masks, cache, pictures) and hands over to this loop, which
it takes as `custom_generate`. From then on a step is the model's two hooks and its forward pass, in the order of
transformers' own `_sample`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from contract.tasks.chat import ChatRequest
from workers.engine import Call
from workers.engines.transformers_chat import caches
from workers.toolkit.chat.answer import ChatChoice

_PER_TOKEN = ("attention_mask", "position_ids", "token_type_ids", "mm_token_type_ids", "moe_mm_token_type_ids")
"""Inputs with a column for each token, (rows, tokens) or (axes, rows, tokens)."""

Tokens = list[tuple[ChatChoice, int]]


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt as the processor made it, in one row, and the choices that are to answer it."""

    call: Call[ChatRequest]
    inputs: Any
    choices: list[ChatChoice]
    failed: bool = False
    """When it was read together with others."""

    @property
    def has_pictures(self) -> bool:
        return not set(self.inputs) <= {"input_ids", *_PER_TOKEN}

    @property
    def alone(self) -> bool:
        """Whether it is to be read by itself."""
        return self.failed or self.has_pictures

    @property
    def length(self) -> int:
        """How many tokens it has."""
        return int(self.inputs["input_ids"].shape[-1])

    def only(self, choices: list[ChatChoice]) -> Prompt:
        """For these of its choices."""
        return replace(self, choices=choices)

    def without(self, choices: list[ChatChoice]) -> Prompt:
        """For the other ones."""
        return replace(self, choices=[choice for choice in self.choices if choice not in choices])


class Batch:
    """Rows of one width and their cache, between two steps. `choices` are the rows' owners, in order."""

    def __init__(self, model: Any, ids: Any, kwargs: dict[str, Any], processors: Any) -> None:
        self.choices: list[ChatChoice] = []
        self.is_open = False
        """Whether rows can be joined to it, copied and dropped; known once the prompts are read."""
        self.is_exclusive = model.is_remote_code()
        """Whether the model may keep something of these rows itself: no other batch may come between their steps."""
        self.processors = processors
        """What the authors want done to the scores of a row in view of its tokens: a repetition penalty."""
        self._model = model
        self._ids = ids  # (rows, tokens), the last of which the model has not seen yet
        self._kwargs = kwargs

    @classmethod
    def of(cls, model: Any, prompts: Sequence[Prompt]) -> Batch:
        """A batch with one row a prompt, ready for its first step. The vision tower runs here."""

        def begin(model: Any, input_ids: Any, *, logits_processor: Any, **kwargs: Any) -> Batch:
            for not_used in ("stopping_criteria", "generation_config"):  # choices know their ends and samplers
                kwargs.pop(not_used)
            return cls(model, input_ids, kwargs, logits_processor)

        longest = max(choice.limit for prompt in prompts for choice in prompt.choices)
        with torch.inference_mode():
            batch: Batch = model.generate(**_padded(model, prompts), max_new_tokens=longest, custom_generate=begin)
        return batch

    def start(self, prompts: Sequence[Prompt]) -> Tokens:
        """Read the prompts. Gives the first token of each choice.

        Where rows cannot be copied, only the first choice of each prompt begins.
        """
        with torch.inference_mode():
            scores = self._forward(first=True)
            self._settle()
            copies = None if self.is_open else 1
            begun = [(row, choice) for row, prompt in enumerate(prompts) for choice in prompt.choices[:copies]]
            if len(begun) > len(prompts):
                rows = [row for row, _ in begun]
                scores = scores[rows]
                self._select(rows)
            for row, choice in begun:
                if self.processors:
                    choice.sampler.follow(prompts[row].inputs["input_ids"].to(self._ids.device), self.processors)
            self.choices = [choice for _, choice in begun]
            return self._append(scores)

    def step(self) -> Tokens:
        """The next token of every row that is not over yet. Who takes them pushes them into their choices."""
        with torch.inference_mode():  # never held across a yield
            return self._append(self._forward())

    def drop_finished(self) -> None:
        """Let go of the rows that are over, where that can be; else they go on unseen until all are over."""
        rows = [row for row, choice in enumerate(self.choices) if not choice.is_over]
        if not rows:
            self.choices = []
        elif self.is_open and len(rows) < len(self.choices):
            with torch.inference_mode():
                self._select(rows)
                self._narrow()
            self.choices = [self.choices[row] for row in rows]

    def join(self, other: Batch) -> bool:
        """Take over the rows of `other`, after which it must not be used; False where that cannot be."""
        if not (self.is_open and other.is_open):
            return False
        with torch.inference_mode():
            self._join(other)
        return True

    # The model's inputs ---------------------------------------------------------------------------------------

    @property
    def _cache(self) -> Any:
        return self._kwargs.get("past_key_values")

    def _forward(self, *, first: bool = False) -> Any:
        """Scores of the next token, (rows, vocabulary) in float32."""
        outputs = self._model(**self._inputs(first=first), return_dict=True)
        self._kwargs = self._model._update_model_kwargs_for_generation(outputs, self._kwargs)
        return outputs.logits[:, -1].to(torch.float32, copy=True)

    def _inputs(self, *, first: bool = False) -> dict[str, Any]:
        width = None if first or not self._kwargs.get("use_cache") else 1
        inputs: dict[str, Any] = self._model.prepare_inputs_for_generation(
            self._ids, next_sequence_length=width, is_first_iteration=first, **self._kwargs
        )
        return inputs

    def _append(self, scores: Any) -> Tokens:
        """Let each row go on with a token, given the scores."""
        tokens = _pick(scores, self.choices)
        column = torch.tensor(tokens, dtype=self._ids.dtype, device=self._ids.device)
        self._ids = torch.cat([self._ids, column[:, None]], dim=-1)
        pairs = zip(self.choices, tokens, strict=True)
        return [(choice, token) for choice, token in pairs if not choice.is_over]

    def _settle(self) -> None:
        """After the prompts: let go of what only they needed (pictures), and see what can be done with the rows."""
        inputs = self._inputs()
        self._kwargs = {name: value for name, value in self._kwargs.items() if name in inputs or name == "use_cache"}
        known = {"input_ids", "past_key_values", *_PER_TOKEN}
        others = [name for name, value in inputs.items() if torch.is_tensor(value) and name not in known]
        placed = inputs.get("position_ids") is not None
        self.is_exclusive |= bool(_kept_by_modules(self._model) - ({"rope_deltas"} if placed else set()))
        self.is_open = placed and not others and not self.is_exclusive and caches.is_known(self._cache)

    # Rows and columns -----------------------------------------------------------------------------------------

    def _per_token(self) -> list[tuple[str, Any]]:
        return [(name, value) for name in _PER_TOKEN if (value := self._kwargs.get(name)) is not None]

    def _select(self, rows: list[int]) -> None:
        index = torch.tensor(rows, device=self._ids.device)
        caches.select(self._cache, index)
        self._ids = self._ids[index]
        for name, value in self._per_token():
            self._kwargs[name] = value.index_select(-2, index)

    def _narrow(self) -> None:
        """Forget the columns that are hidden in every row, and the mask once it hides nothing."""
        mask = self._kwargs.get("attention_mask")
        if mask is None:
            return
        if hidden := int(mask.any(0).to(torch.uint8).argmax()):
            caches.narrow(self._cache, hidden)
            self._ids = self._ids[:, hidden:]
            for name, value in self._per_token():
                self._kwargs[name] = value[..., hidden:]
        if self._kwargs["attention_mask"].all():
            self._kwargs["attention_mask"] = None

    def _join(self, other: Batch) -> None:
        caches.join(self._cache, other._cache)
        widths = {self._ids.shape[-1], other._ids.shape[-1]}
        names = {name for batch in (self, other) for name, _ in batch._per_token()}
        names |= {"attention_mask"} if len(widths) > 1 else set()
        for name in names:
            columns = [batch._columns(name, max(widths)) for batch in (self, other)]
            self._kwargs[name] = torch.cat(columns, dim=-2)
        self._ids = torch.cat([_widen(self._ids, max(widths)), _widen(other._ids, max(widths))])
        self.choices += other.choices

    def _columns(self, name: str, width: int) -> Any:
        value = self._kwargs.get(name)
        if value is None:  # no mask hides nothing, no types are all plain text
            value = torch.full_like(self._ids, int(name == "attention_mask"))
        return _widen(value, width)


def _padded(model: Any, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """What the model is to read, a row a prompt, on its device and pictures in its precision."""
    first = prompts[0].inputs
    if len(prompts) == 1:
        return dict(first.to(model.device, dtype=model.dtype) if prompts[0].has_pictures else first.to(model.device))
    width = max(prompt.length for prompt in prompts)
    rows = {name: [_widen(prompt.inputs[name], width) for prompt in prompts] for name in first}
    return {name: torch.cat(tensors).to(model.device) for name, tensors in rows.items()}


@lru_cache(1)
def _kept_by_modules(model: Any) -> frozenset[str]:
    """What the modules themselves keep of the rows that they saw last: no cache, no positions that they are told."""
    names = ("rope_deltas", "recurrent_states")
    return frozenset(name for name in names if any(hasattr(module, name) for module in model.modules()))


def _pick(scores: Any, choices: Sequence[ChatChoice]) -> list[int]:
    """The next token of each row, given scores (rows, vocabulary)."""
    best: list[int] = scores.argmax(-1).tolist()
    return [
        token if choice.is_over or choice.sampler.is_plain else choice.sampler.pick(scores[row])
        for row, (choice, token) in enumerate(zip(choices, best, strict=True))
    ]


def _widen(columns: Any, width: int) -> Any:
    """Columns of zeros before what is there, up to a width."""
    return torch.nn.functional.pad(columns, (width - columns.shape[-1], 0))
