"""Makes the choices of answers: how each is sampled, when it ends, and how its tokens become text."""

from __future__ import annotations

from typing import Any

from contract.tasks.chat import SampledRequest
from workers.engines.transformers_chat.loading import LoadedModel
from workers.engines.transformers_chat.sampling import TokenSampler
from workers.toolkit.chat.answer import ChatAnswer, ChatChoice, OutputReader
from workers.toolkit.chat.logprobs import TokenTexts
from workers.toolkit.chat.sampling_settings import check_token_ids, ends_of

_UNBOUNDED = 4096
"""The maximum number of tokens of an answer if neither the model nor the request sets a limit."""


class ChoiceMaker:
    """Knows the model's own settings: `recommended` by its authors, and the tokens that end its answers."""

    def __init__(
        self,
        model: str,
        loaded: LoadedModel,
        recommended: dict[str, Any],
        end_tokens: frozenset[int],
    ) -> None:
        self.model = model
        self.tokenizer = loaded.tokenizer
        self.end_tokens = end_tokens
        self.vocabulary = int(loaded.model.config.get_text_config(decoder=True).vocab_size)
        self.texts = TokenTexts(loaded.tokenizer)
        self.recommended = recommended
        self.dtype = loaded.model.dtype
        self._device = loaded.model.device

    def check(self, request: SampledRequest) -> None:
        """Raise InvalidField for a token that the model does not have."""
        check_token_ids(request, self.vocabulary)

    def limit(self, request: SampledRequest, tokens_left: int | None) -> int:
        """The maximum number of tokens of a choice, given those that the context leaves."""
        requested = self.recommended.get("max_new_tokens") if request.limit is None else request.limit
        return min((limit for limit in (tokens_left, requested) if limit is not None), default=_UNBOUNDED)

    def choice(self, answer: ChatAnswer, prompt: Any, output: OutputReader, limit: int, number: int = 0) -> ChatChoice:
        """The next choice of an answer, for a prompt (tokens,). `number` is its choice of that prompt.

        The prompt is None if `generate` gives its tokens to the sampler.
        """
        request = answer.call.request
        sampler = TokenSampler(request, self.recommended, ends_of(request, self.end_tokens), number)
        if prompt is not None:
            sampler.begin(prompt.to(self._device))
        choice = ChatChoice(answer, len(answer.choices), sampler, output, limit)
        answer.choices.append(choice)
        return choice
