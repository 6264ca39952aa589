"""Prepares the prompts of calls, and makes their answers: a chat has one prompt, completions may have many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from contract.tasks.chat import ChatRequest
from contract.tasks.completions import CompletionPrompt, CompletionRequest
from workers.engine import Call
from workers.engines.transformers_chat.chat_prompt import ChatPrompt
from workers.engines.transformers_chat.choice_maker import ChoiceMaker
from workers.engines.transformers_chat.families.family import ChatFamily
from workers.engines.transformers_chat.prompt_encoder import PromptEncoder
from workers.engines.transformers_chat.prompt_row import PromptRow
from workers.toolkit.chat.answer import (
    NO_TOKEN,
    AnswerEvent,
    ChatAnswer,
    ChatChoice,
    OutputReader,
    chat_answer,
)
from workers.toolkit.chat.answer_grammar import form_of
from workers.toolkit.chat.completion_chunks import CompletionChunks
from workers.toolkit.chat.completion_prompts import prompt_echo, prompt_tokens
from workers.toolkit.chat.constraints.compiler import GrammarCompiler
from workers.toolkit.chat.dialect import decoder
from workers.toolkit.chat.logprobs import are_numbers
from workers.toolkit.chat.truncation import fitting_prompt
from workers.toolkit.finite import not_finite_scores


class AnswerMaker:
    """Makes prompts, and what to send of the choices that answer them. `family` is None if `generate` reads prompts."""

    def __init__(
        self, encoder: PromptEncoder, maker: ChoiceMaker, grammars: GrammarCompiler, family: ChatFamily | None
    ) -> None:
        self._encoder, self.maker, self._grammars, self.family = encoder, maker, grammars, family

    def open(self, call: Call[Any]) -> list[ChatPrompt]:
        """Prepare a call's prompts.

        Raises ContextTooLong, BadImage, UnsupportedFeature or BadRequest for the client.
        """
        self.maker.check(call.request)
        return [self._chat(call)] if isinstance(call.request, ChatRequest) else self._completions(call)

    def begin(self, choice: ChatChoice) -> Iterator[AnswerEvent]:
        """What to send of a choice before its first token: the prompt that a completion repeats.

        A choice of no tokens then ends.
        """
        answer = choice.answer
        if choice.echo is not None:
            if not are_numbers(choice.echo.picked):
                yield from answer.fail(not_finite_scores(self.maker.model, self.maker.dtype))
                return
            assert isinstance(answer.written, CompletionChunks), "only completions repeat their prompts"
            yield answer.call, answer.written.echo(choice.index, choice.echo, self.maker.texts)
        if not choice.limit:
            choice.end_at_once()
            yield from answer.send(choice, [])

    def advance(self, choice: ChatChoice, token: int) -> Iterator[AnswerEvent]:
        """Add the next token to a choice, and yield what to send."""
        if token == NO_TOKEN:
            return choice.answer.fail(not_finite_scores(self.maker.model, self.maker.dtype))
        ends = choice.sampler.ends
        if choice.sampler.picked:
            picked = choice.sampler.picked.popleft()
            choice.logprobs += [self.maker.texts.entry(picked)] if choice.answer.reports(token, ends) else []
        return choice.answer.advance(choice, token, ends)

    def _chat(self, call: Call[ChatRequest]) -> ChatPrompt:
        request, dialect = call.request, self._encoder.dialect
        inputs = fitting_prompt(call, self._encoder.encode, _length, self._encoder.context)
        tokens = _length(inputs)
        limit = self.maker.limit(request, self._encoder.check(tokens))
        row = self.family.row(inputs) if self.family else PromptRow(inputs["input_ids"][0], whole=inputs)
        answer = chat_answer(call, self.maker.model, id_length=dialect.id_length)
        answer.prompt_tokens = tokens
        prompt_end = self._encoder.end_of(inputs)
        form = form_of(request, dialect, prompt_end)
        call.warnings += [*dialect.warnings(request), *form.warnings]
        for number in range(request.n or 1):
            output = dialect.reader(request, prompt_end, self.maker.tokenizer)
            choice = self.maker.choice(answer, row.ids if self.family else None, output, limit, number)
            if form.grammar:  # the answer ends where the grammar allows it, whatever the request ignores
                choice.constraint = self._grammars.constraint(form.grammar, form.param)
                choice.sampler.ends |= self.maker.end_tokens
        return ChatPrompt(call, row, answer.choices)

    def _completions(self, call: Call[CompletionRequest]) -> list[ChatPrompt]:
        request = call.request
        answer = ChatAnswer(call, CompletionChunks(request.model or self.maker.model))
        answer.reports_ends = True
        return [self._completion(answer, number, prompt) for number, prompt in enumerate(request.prompts)]

    def _completion(self, answer: ChatAnswer, number: int, prompt: CompletionPrompt) -> ChatPrompt:
        """A prompt of a request for completions. Raises InvalidField for one without tokens."""
        request: CompletionRequest = answer.call.request
        tokens = prompt_tokens(self._encoder, request, prompt, self.maker.vocabulary)
        limit = self.maker.limit(request, self._tokens_left(request, tokens))
        answer.prompt_tokens += len(tokens)
        ids = torch.tensor(tokens)
        whole = None if self.family else {"input_ids": ids[None], "attention_mask": torch.ones_like(ids)[None]}
        row = PromptRow(ids, whole=whole, alternatives=request.logprobs if request.scores_prompt else None)
        echo = prompt_echo(self._encoder, request, prompt, tokens)
        choices = []
        for index in range(request.n or 1):
            output = OutputReader(decoder(self.maker.tokenizer, ()))
            choice = self.maker.choice(answer, ids if self.family else None, output, limit, index)
            choice.prompt, choice.echo = number, echo
            if request.suffix and self._encoder.fill_in_middle:
                choice.sampler.ends |= self._encoder.fill_in_middle.ends
            choices.append(choice)
        return ChatPrompt(answer.call, row, choices)

    def _tokens_left(self, request: CompletionRequest, tokens: list[int]) -> int | None:
        """The tokens that the context leaves for a completion. A completion of none needs no room."""
        needed = len(tokens) - (request.limit == 0)
        return self._encoder.check(needed, param="prompt")


def _length(inputs: Any) -> int:
    """The number of tokens of a prompt."""
    return int(inputs["input_ids"].shape[-1])
