"""Counts and shows tokens beside the running batch: it has a tokenizer of its own, since they must not be shared.

Two threads that use one fast tokenizer with different settings of padding get an error of the library.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Protocol

from contract.errors import InvalidField, ServeError
from contract.tasks.chat import ChatRequest
from contract.tasks.detokenize import DetokenizeRequest, DetokenizeResponse
from contract.tasks.tokenize import TokenizeRequest, TokenizeResponse
from workers.engine import Call, Output
from workers.toolkit.chat.dialect import Dialect


class PromptWriter(Protocol):
    """What a chat engine makes of texts and conversations before its model reads them."""

    dialect: Dialect

    @property
    def context(self) -> int | None:
        """The maximum number of tokens of prompt and answer together; None if it is unknown."""

    def copied(self) -> PromptWriter:
        """The same with a tokenizer of its own, for another thread."""

    def tokens_of(self, text: str, *, special: bool = True) -> list[int]:
        """The tokens of a text without a chat template; `special`: with those that the tokenizer adds, such as BOS."""

    def chat_tokens(self, request: ChatRequest) -> list[int]:
        """The tokens of a conversation's prompt. Raises ServeError for what the model cannot take."""

    def texts_of(self, tokens: list[int]) -> list[str]:
        """Each token as the vocabulary writes it."""

    def text_of(self, tokens: list[int], *, skip_special: bool = False) -> str:
        """The text of tokens."""


class TokenReader:
    """Answers requests about tokens, on a thread beside that of the engine. Makes its copy when it is first needed."""

    def __init__(self, prompts: PromptWriter, vocabulary: int) -> None:
        self._original = prompts
        self._vocabulary = vocabulary

    @cached_property
    def _prompts(self) -> PromptWriter:
        return self._original.copied()

    def tokenize(self, calls: list[Call[TokenizeRequest]]) -> Iterator[tuple[Call[TokenizeRequest], Output]]:
        """The tokens of each call's text or conversation."""
        for call in (call for call in calls if not call.cancelled):
            try:
                yield call, self._tokens(call)
            except ServeError as error:
                yield call, error

    def _tokens(self, call: Call[TokenizeRequest]) -> TokenizeResponse:
        request, chat = call.request, call.request.chat
        if chat is not None:
            call.warnings += self._prompts.dialect.warnings(chat)
            tokens = self._prompts.chat_tokens(chat)
        else:
            tokens = self._prompts.tokens_of(request.prompt or "", special=request.add_special_tokens is not False)
        texts = self._prompts.texts_of(tokens) if request.return_token_strs else None
        context = self._prompts.context
        return TokenizeResponse(count=len(tokens), max_model_len=context, tokens=tokens, token_strs=texts)

    def detokenize(self, calls: list[Call[DetokenizeRequest]]) -> Iterator[tuple[Call[DetokenizeRequest], Output]]:
        """The text of each call's tokens."""
        for call in (call for call in calls if not call.cancelled):
            tokens = call.request.tokens
            if max(tokens, default=0) >= self._vocabulary:
                message = f"`tokens`: {max(tokens)} is not the id of a token; the model has {self._vocabulary}."
                yield call, InvalidField(message, param="tokens")
                continue
            text = self._prompts.text_of(tokens, skip_special=bool(call.request.skip_special_tokens))
            yield call, DetokenizeResponse(prompt=text, content=text)
