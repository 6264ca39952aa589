"""Counts and shows tokens beside the running batch: it has a tokenizer of its own, since they must not be shared.

Two threads that use one fast tokenizer with different settings of padding get an error of the library.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from contract.errors import InvalidField, ServeError
from contract.tasks.detokenize import DetokenizeRequest, DetokenizeResponse
from contract.tasks.tokenize import TokenizeRequest, TokenizeResponse
from workers.engine import Call, Output
from workers.engines.transformers_chat.prompt_encoder import PromptEncoder


class TokenReader:
    """Answers requests about tokens, on a thread beside that of the engine. Makes its copy when it is first needed."""

    def __init__(self, encoder: PromptEncoder, vocabulary: int) -> None:
        self._original = encoder
        self._vocabulary = vocabulary

    @cached_property
    def _encoder(self) -> PromptEncoder:
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
            call.warnings += self._encoder.dialect.warnings(chat)
            tokens: list[int] = self._encoder.encode(chat)["input_ids"][0].tolist()
        else:
            tokens = self._encoder.tokens_of(request.prompt or "", special=request.add_special_tokens is not False)
        texts = self._encoder.texts_of(tokens) if request.return_token_strs else None
        context = self._encoder.context
        return TokenizeResponse(count=len(tokens), max_model_len=context, tokens=tokens, token_strs=texts)

    def detokenize(self, calls: list[Call[DetokenizeRequest]]) -> Iterator[tuple[Call[DetokenizeRequest], Output]]:
        """The text of each call's tokens."""
        for call in (call for call in calls if not call.cancelled):
            tokens = call.request.tokens
            if max(tokens, default=0) >= self._vocabulary:
                message = f"`tokens`: {max(tokens)} is not the id of a token; the model has {self._vocabulary}."
                yield call, InvalidField(message, param="tokens")
                continue
            text = self._encoder.text_of(tokens, skip_special=bool(call.request.skip_special_tokens))
            yield call, DetokenizeResponse(prompt=text, content=text)
