"""The request of a completion: prompts that are read as they are, without a chat template."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from contract import known_fields
from contract.known_fields import FieldTable, Requirement
from contract.limits import Items, Text
from contract.tasks.chat.sampling import SampledRequest, TokenId
from contract.tasks.completions.fields import FIELDS

MAX_PROMPTS = 2048
MAX_CHOICES = 4096
"""Choices of all prompts together."""
MAX_TOKENS = 1_000_000
"""Tokens of a prompt that is sent as token ids; what the model reads is limited by its context."""

PromptTokens = Annotated[list[TokenId], Field(max_length=MAX_TOKENS, fail_fast=True)]
PromptInput = Annotated[
    Text | PromptTokens | Items[Text] | Items[PromptTokens],
    Field(union_mode="left_to_right"),
]
CompletionPrompt = str | list[int]
"""One prompt: a text, or its tokens."""


class CompletionRequest(SampledRequest):
    """One or several prompts, each a text or token ids, that the model continues.

    `echo` puts the prompt in front of its completion. `logprobs` is how many alternatives each token is reported with.
    `suffix` is the text after the completion, for models that can fill in the middle.
    """

    known_fields: ClassVar[FieldTable] = FIELDS
    no_defaults: ClassVar[frozenset[str]] = frozenset({"prompt", "suffix", "echo", "logprobs", "best_of"})

    prompt: PromptInput
    suffix: Text | None = None
    max_tokens: int | None = Field(16, ge=-1)
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=20)
    best_of: int | None = Field(None, ge=1, le=128)
    add_special_tokens: bool | None = None

    @field_validator("logprobs", mode="before")
    @classmethod
    def _check_logprobs(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("send the number of alternatives of each token; only chats take true")
        return value

    @model_validator(mode="after")
    def _check_prompts(self) -> CompletionRequest:
        if not self.prompt:
            raise ValueError("`prompt` is empty: send a text, token ids, or a list of them")
        if empty := [number for number, prompt in enumerate(self.prompts) if not prompt]:
            which = f"prompt {empty[0]}, counted from 0, is empty; " if len(self.prompts) > 1 else ""
            raise ValueError(f"`prompt`: {which}every prompt needs at least one character or token")
        if len(self.prompts) > MAX_PROMPTS:
            raise ValueError(f"`prompt`: {len(self.prompts)} are too many for one request; send at most {MAX_PROMPTS}")
        if len(self.prompts) * (self.n or 1) > MAX_CHOICES:
            raise ValueError(f"`n`: all prompts together may have {MAX_CHOICES} choices")
        if self.suffix and self.echo:
            raise ValueError("`echo` cannot repeat a prompt that has a `suffix`; leave one of them out")
        return self

    @property
    def prompts(self) -> list[CompletionPrompt]:
        """All prompts, in the order of their choices in the response."""
        if isinstance(self.prompt, list) and not isinstance(self.prompt[0], int):
            return list(self.prompt)
        return [self.prompt]

    @property
    def limit(self) -> int | None:
        return None if self.max_tokens == -1 else 16 if self.max_tokens is None else self.max_tokens

    @property
    def reported_alternatives(self) -> int | None:
        return self.logprobs

    @property
    def scores_prompt(self) -> bool:
        """Whether the tokens of the prompts are reported with their probabilities."""
        return bool(self.echo) and self.logprobs is not None

    def requirements(self) -> list[Requirement]:
        needs = known_fields.requirements(self, self.known_fields)
        if self.best_of == self.n:  # all choices are answered in any case
            needs = [need for need in needs if need[0] != "best_of"]
        needs += [("logprobs", "logprobs")] if self.logprobs is not None else []
        return needs + ([("echo", "prompt_logprobs")] if self.scores_prompt else [])

    def required_features(self) -> frozenset[str]:
        return frozenset(feature for _, feature in self.requirements())
