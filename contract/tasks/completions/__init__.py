"""completions: continues texts or tokens as they are, without a chat template, like OpenAI's older API.

Source: platform.openai.com/docs/api-reference/completions.
"""

from __future__ import annotations

from contract.tasks import Task
from contract.tasks.completions.request import CompletionPrompt, CompletionRequest
from contract.tasks.completions.response import CompletionChoice, CompletionLogprobs, CompletionResponse, fold
from contract.tasks.usage_chunks import wants_chunk

__all__ = [
    "COMPLETIONS",
    "CompletionChoice",
    "CompletionLogprobs",
    "CompletionPrompt",
    "CompletionRequest",
    "CompletionResponse",
    "fold",
]


COMPLETIONS = Task(
    "completions",
    "/v1/completions",
    CompletionRequest,
    CompletionResponse,
    chunk=CompletionResponse,
    fold=fold,
    wants_chunk=wants_chunk,
    inputs=("text",),
    outputs=("text",),
    example={"prompt": "Once upon a time", "max_tokens": 20},
)
