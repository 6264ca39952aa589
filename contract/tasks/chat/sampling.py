"""What requests for generated text have in common: how it is sampled, when it ends, and what is reported of its tokens.

The fields are those of OpenAI's API, vLLM and llama.cpp.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from contract.limits import Name
from contract.tasks import Request
from contract.tasks.chat.open_model import OpenModel

MAX_BIASES = 1024
MAX_STOPS = 16
MAX_STOP_TOKENS = 256


def _unlimited_as_none(value: Any) -> Any:
    return None if value == -1 and not isinstance(value, bool) else value


TokenLimit = Annotated[int | None, Field(ge=1), BeforeValidator(_unlimited_as_none)]
"""A number of tokens; -1, with which LM Studio and llama.cpp say "unlimited", is the same as no limit."""
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Factor = Annotated[float, Field(gt=0, le=100)]


class StreamOptions(OpenModel):
    include_usage: bool = False


class SampledRequest(Request):
    """A request whose answer is sampled token by token.

    `stream`: send the answer piece by piece, as events. `n`: how many answers. `stop`: texts that end the answer.
    `temperature`: 0 always takes the most probable token, higher values vary more. `top_p`: sample among the most
    probable tokens that together have this probability. `top_k`: sample among this many. `min_p`: leave out tokens less
    probable than this share of the best one's. `repetition_penalty`: above 1, tokens of the text so far become less
    likely. `frequency_penalty`, `presence_penalty`: the same by how often, or whether, the answer has a token. `seed`:
    the same seed gives the same answer. `min_tokens`: the least length.
    """

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=128)

    min_tokens: int | None = Field(None, ge=0)
    stop: Name | Annotated[list[Name], Field(max_length=MAX_STOPS, fail_fast=True)] | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=MAX_STOP_TOKENS, fail_fast=True)] | None = None
    ignore_eos: bool | None = None

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: Factor | None = None
    repeat_penalty: Factor | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: int | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _check_logit_bias(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if len(value) > MAX_BIASES:
                raise ValueError(f"send at most {MAX_BIASES} tokens")
            if wrong := next((key for key in value if not str(key).isdecimal()), None):
                raise ValueError(f"the keys are ids of tokens, such as 1234, not {str(wrong)[:100]!r}")
        return value

    @property
    def limit(self) -> int | None:
        """The maximum number of tokens to generate; None: as many as the model allows."""
        raise NotImplementedError

    @property
    def reported_alternatives(self) -> int | None:
        """How many alternatives each token is reported with; None if tokens are not reported."""
        raise NotImplementedError

    @property
    def stops(self) -> list[str]:
        """Stop sequences: generation ends at the first of them. Empty ones ask for nothing."""
        return [stop for stop in ([self.stop] if isinstance(self.stop, str) else self.stop or ()) if stop]

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def penalty_of_repetition(self) -> float | None:
        """The factor by which tokens of the prompt and the answer become less likely, under either name."""
        return self.repeat_penalty if self.repetition_penalty is None else self.repetition_penalty
