"""detokenize: the text of tokens, like vLLM's `/detokenize`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contract.tasks import Request, Response, Task
from contract.tasks.chat.sampling import TokenId

MAX_TOKENS = 1_000_000


class DetokenizeRequest(Request):
    """Tokens by their ids. `skip_special_tokens` leaves out control tokens."""

    tokens: Annotated[list[TokenId], Field(max_length=MAX_TOKENS, fail_fast=True)]
    skip_special_tokens: bool | None = None


class DetokenizeResponse(Response):
    """The text, under the names that vLLM and llama.cpp give it."""

    prompt: str
    content: str


DETOKENIZE = Task(
    "detokenize",
    "/v1/detokenize",
    DetokenizeRequest,
    DetokenizeResponse,
    inputs=("text",),  # numbers are none of the modalities that clients know
    outputs=("text",),
    example={"tokens": [72, 105]},
)
