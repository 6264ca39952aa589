"""The decode loop of one model: requests join running requests between two steps, and end with their last token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from contract.errors import ServeError
from contract.tasks.chat import ChatRequest, SampledRequest
from contract.tasks.completions import CompletionPrompt, CompletionRequest
from workers.engine import Call, Feed
from workers.engines.mlx.decoding import Decoder
from workers.engines.mlx.loading import LoadedMlx
from workers.engines.mlx.prefix_cache import MlxPrefixCache
from workers.engines.mlx.prompts import MlxPrompt, MlxPrompts
from workers.engines.mlx.rows import Begun, Rows
from workers.engines.mlx.sampling import MlxSampler
from workers.failures import to_serve_error
from workers.step_meter import StepMeter
from workers.toolkit.chat.answer import NO_TOKEN, ChatAnswer, ChatChoice, OutputReader, chat_answer
from workers.toolkit.chat.answer_grammar import form_of
from workers.toolkit.chat.completion_chunks import CompletionChunks
from workers.toolkit.chat.completion_prompts import prompt_echo, prompt_tokens
from workers.toolkit.chat.constraints.compiler import GrammarCompiler
from workers.toolkit.chat.constraints.token_constraint import wait_a_moment
from workers.toolkit.chat.dialect import decoder
from workers.toolkit.chat.logprobs import TokenTexts, are_numbers
from workers.toolkit.chat.sampling_settings import check_token_ids, ends_of
from workers.toolkit.chat.token_reader import TokenReader
from workers.toolkit.chat.truncation import fitting_prompt
from workers.toolkit.finite import not_finite_scores

_UNBOUNDED = 4096
"""The maximum number of tokens of an answer if neither the model nor the request sets a limit."""

Pieces = Iterator[tuple[Call[Any], Any]]


class MlxChat:
    """Answers chats and continues texts with a loaded model."""

    def __init__(self, loaded: LoadedMlx, prompts: MlxPrompts, prefixes: MlxPrefixCache) -> None:
        self.loaded = loaded
        self._prefixes = prefixes
        self.prompts = prompts
        self.grammars = GrammarCompiler(loaded.vocabulary, loaded.ends)
        self.recommended = loaded.checkpoint.read("generation_config.json")
        self._name = loaded.checkpoint.spec.id
        self._texts = TokenTexts(loaded.tokenizer)
        self.tokens = TokenReader(prompts, loaded.token_count)

    def run(self, feed: Feed[Any], meter: StepMeter) -> Pieces:
        """Take calls while rows are free, and decode a token for every row in each step, until no call is left."""
        with closing(Decoder(self.loaded, feed.limit, self._prefixes, meter)) as decoder:
            rows = Rows(decoder, feed.limit)
            while True:
                calls = feed.take(min(1, feed.limit - rows.calls))  # one for each step, since encoding an image is slow
                for call in calls:
                    yield from self._begin(call, rows)
                yield from self._read(rows)
                if not rows.fill() and not calls and not rows.are_unread:
                    if not rows.are_waiting:
                        return
                    wait_a_moment(rows.compiling)
                    continue
                for choice, token in rows.step():
                    yield from self._advance(choice, token)

    def _begin(self, call: Call[Any], rows: Rows) -> Pieces:
        """Read a call's prompts and add its choices to the waiting ones; yields an error if that fails."""
        try:
            check_token_ids(call.request, self.loaded.token_count)
            begun = self._chat(call) if isinstance(call.request, ChatRequest) else self._completions(call)
        except ServeError as error:
            yield call, error
            return
        except Exception as error:  # must not fail the running requests
            yield call, to_serve_error(error)
            return
        for choice, prompt in begun:
            if prompt.scores is None:
                yield from self._start(choice, prompt, rows)
            else:
                rows.add_unread(choice, prompt)

    def _read(self, rows: Rows) -> Pieces:
        """Read a chunk of a prompt whose tokens are reported. Starts its choice when everything is read."""
        if (unread := rows.next_unread()) is None:
            return
        choice, prompt = unread
        assert choice.echo is not None
        assert prompt.scores is not None, "only prompts that are repeated have scores"
        try:
            if not rows.read(prompt.scores):
                return
            if not are_numbers(prompt.scores.picked):
                raise not_finite_scores(self._name, self.loaded.dtype)
        except Exception as error:  # must not fail the running requests
            yield from choice.answer.fail(to_serve_error(error))
            return
        choice.echo.picked = prompt.scores.picked
        yield from self._start(choice, prompt, rows)

    def _start(self, choice: ChatChoice, prompt: MlxPrompt, rows: Rows) -> Pieces:
        """Send the prompt that a completion repeats, and let the choice wait for a row. One of no tokens ends."""
        if choice.echo is not None:
            assert isinstance(choice.answer.written, CompletionChunks), "only completions repeat their prompts"
            yield choice.answer.call, choice.answer.written.echo(choice.index, choice.echo, self._texts)
        if choice.limit:
            rows.add(choice, prompt)
        else:
            choice.end_at_once()
            yield from choice.answer.send(choice, [])

    def _chat(self, call: Call[ChatRequest]) -> list[Begun]:
        """The choices of a chat. Raises ServeError."""
        request, dialect = call.request, self.prompts.dialect
        prompt = fitting_prompt(call, self.prompts.read, lambda prompt: len(prompt.tokens), self.prompts.context)
        limit = self._limit(request, self.prompts.tokens_left(len(prompt.tokens)))
        end = self.prompts.end_of(prompt)
        form = form_of(request, dialect, end)
        call.warnings += [*dialect.warnings(request), *form.warnings]
        answer = chat_answer(call, self._name, id_length=dialect.id_length)
        answer.prompt_tokens = len(prompt.tokens)
        ends = ends_of(request, self.loaded.ends)
        if form.grammar:  # the answer ends where the grammar allows it, whatever the request ignores
            ends |= self.loaded.ends
        for index in range(request.n or 1):
            constraint = self.grammars.constraint(form.grammar, form.param) if form.grammar else None
            sampler = MlxSampler(request, self.recommended, ends, index, prompt.tokens)
            sampler.constraint = constraint
            output = dialect.reader(request, end, self.loaded.tokenizer)
            choice = ChatChoice(answer, index, sampler, output, limit)
            choice.constraint = constraint
            answer.choices.append(choice)
        return [(choice, prompt) for choice in answer.choices]

    def _completions(self, call: Call[CompletionRequest]) -> list[Begun]:
        """The choices of all prompts of a request for completions. Raises ServeError."""
        request = call.request
        answer = ChatAnswer(call, CompletionChunks(request.model or self._name))
        answer.reports_ends = True
        return [
            begun for number, prompt in enumerate(request.prompts) for begun in self._completion(answer, number, prompt)
        ]

    def _completion(self, answer: ChatAnswer, number: int, prompt: CompletionPrompt) -> Iterator[Begun]:
        request: CompletionRequest = answer.call.request
        tokens = prompt_tokens(self.prompts, request, prompt, self.loaded.token_count)
        needed = len(tokens) - (request.limit == 0)  # a completion of no tokens needs no room
        limit = self._limit(request, self.prompts.tokens_left(needed, param="prompt"))
        answer.prompt_tokens += len(tokens)
        echo = prompt_echo(self.prompts, request, prompt, tokens)
        ends = ends_of(request, self.loaded.ends)
        if request.suffix and self.prompts.fill_in_middle:
            ends |= self.prompts.fill_in_middle.ends
        begun = self.prompts.of_tokens(tokens, (request.logprobs or 0) if request.scores_prompt else None)
        for index in range(request.n or 1):
            sampler = MlxSampler(request, self.recommended, ends, index, tokens)
            output = OutputReader(decoder(self.loaded.tokenizer, ()))
            choice = ChatChoice(answer, len(answer.choices), sampler, output, limit)
            choice.prompt, choice.echo = number, echo
            answer.choices.append(choice)
            yield choice, begun

    def _limit(self, request: SampledRequest, tokens_left: int | None) -> int:
        """The maximum number of tokens of a choice, given those that the context leaves."""
        requested = self.recommended.get("max_new_tokens") if request.limit is None else request.limit
        return min((limit for limit in (tokens_left, requested) if limit is not None), default=_UNBOUNDED)

    def _advance(self, choice: ChatChoice, token: int) -> Pieces:
        if token == NO_TOKEN:
            return choice.answer.fail(not_finite_scores(self._name, self.loaded.dtype))
        ends = choice.sampler.ends
        if picked := choice.sampler.take_picked():
            choice.logprobs += [self._texts.entry(picked)] if choice.answer.reports(token, ends) else []
        return choice.answer.advance(choice, token, ends)
