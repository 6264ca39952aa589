"""The decode loop of one model: requests join running requests between two steps, and end with their last token."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from typing import Any

from contract.errors import ServeError
from contract.tasks.chat import ChatRequest, SampledRequest
from contract.tasks.completions import CompletionPrompt, CompletionRequest
from workers.engine import Call, Feed
from workers.engines.mlx.decoding import Decoder
from workers.engines.mlx.loading import LoadedMlx
from workers.engines.mlx.prefix_cache import MlxPrefixCache
from workers.engines.mlx.prompts import MlxPrompt, MlxPrompts
from workers.engines.mlx.sampling import MlxSampler
from workers.failures import to_serve_error
from workers.step_meter import StepMeter
from workers.toolkit.chat.answer import NO_TOKEN, ChatAnswer, ChatChoice, OutputReader, chat_answer
from workers.toolkit.chat.answer_grammar import form_of
from workers.toolkit.chat.completion_chunks import CompletionChunks
from workers.toolkit.chat.completion_prompts import prompt_echo, prompt_tokens
from workers.toolkit.chat.constraints.compiler import GrammarCompiler
from workers.toolkit.chat.constraints.token_constraint import TokenConstraint, wait_a_moment
from workers.toolkit.chat.dialect import decoder
from workers.toolkit.chat.logprobs import TokenTexts
from workers.toolkit.chat.sampling_settings import check_token_ids, ends_of
from workers.toolkit.chat.truncation import fitting_prompt
from workers.toolkit.finite import not_finite_scores

_UNBOUNDED = 4096
"""The maximum number of tokens of an answer if neither the model nor the request sets a limit."""

Pieces = Iterator[tuple[Call[Any], Any]]
_Begun = tuple[ChatChoice, MlxPrompt]
"""A choice and what it answers."""


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

    def run(self, feed: Feed[Any], meter: StepMeter) -> Pieces:
        """Take calls while rows are free, and decode a token for every row in each step, until no call is left."""
        with closing(Decoder(self.loaded, feed.limit, self._prefixes, meter)) as decoder:
            rows = _Rows(decoder, feed.limit)
            while True:
                calls = feed.take(min(1, feed.limit - rows.calls))  # one for each step, since encoding an image is slow
                for call in calls:
                    yield from self._begin(call, rows)
                if not rows.fill() and not calls:
                    if not rows.are_waiting:
                        return
                    wait_a_moment(rows.compiling)
                    continue
                for choice, token in rows.step():
                    yield from self._advance(choice, token)

    def _begin(self, call: Call[Any], rows: _Rows) -> Pieces:
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
            if choice.echo is not None:
                assert isinstance(choice.answer.written, CompletionChunks), "only completions repeat their prompts"
                yield call, choice.answer.written.echo(choice.index, choice.echo, self._texts)
            if choice.limit:
                rows.add(choice, prompt)
            else:
                choice.end_at_once()
                yield from choice.answer.send(choice, [])

    def _chat(self, call: Call[ChatRequest]) -> list[_Begun]:
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

    def _completions(self, call: Call[CompletionRequest]) -> list[_Begun]:
        """The choices of all prompts of a request for completions. Raises ServeError."""
        request = call.request
        answer = ChatAnswer(call, CompletionChunks(request.model or self._name))
        answer.reports_ends = True
        return [
            begun for number, prompt in enumerate(request.prompts) for begun in self._completion(answer, number, prompt)
        ]

    def _completion(self, answer: ChatAnswer, number: int, prompt: CompletionPrompt) -> Iterator[_Begun]:
        request: CompletionRequest = answer.call.request
        tokens = prompt_tokens(self.prompts, request, prompt, self.loaded.token_count)
        needed = len(tokens) - (request.limit == 0)  # a completion of no tokens needs no room
        limit = self._limit(request, self.prompts.tokens_left(needed, param="prompt"))
        answer.prompt_tokens += len(tokens)
        echo = prompt_echo(self.prompts, request, prompt, tokens)
        ends = ends_of(request, self.loaded.ends)
        if request.suffix and self.prompts.fill_in_middle:
            ends |= self.prompts.fill_in_middle.ends
        for index in range(request.n or 1):
            sampler = MlxSampler(request, self.recommended, ends, index, tokens)
            output = OutputReader(decoder(self.loaded.tokenizer, ()))
            choice = ChatChoice(answer, len(answer.choices), sampler, output, limit)
            choice.prompt, choice.echo = number, echo
            answer.choices.append(choice)
            yield choice, self.prompts.of_tokens(tokens)

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


class _Rows:
    """The running choices by their row of the decoder, and the waiting choices.

    Lower choice indices have priority, so a request for a hundred choices does not block other requests.
    """

    def __init__(self, decoder: Decoder, limit: int) -> None:
        self._decoder = decoder
        self._limit = limit
        self._running: dict[int, ChatChoice] = {}
        self._waiting: list[tuple[int, int, ChatChoice, MlxPrompt]] = []
        self._order = count()

    @property
    def calls(self) -> int:
        """The number of running and waiting calls."""
        choices = [*self._running.values(), *(choice for _, _, choice, _ in self._waiting)]
        return len({id(choice.answer) for choice in choices if not choice.is_finished})

    def add(self, choice: ChatChoice, prompt: MlxPrompt) -> None:
        """Add a waiting choice."""
        heapq.heappush(self._waiting, (choice.index, next(self._order), choice, prompt))

    def fill(self) -> bool:
        """Drop finished rows and start waiting choices in the free ones. Returns False if no row is running.

        A choice whose grammar is still being compiled goes on waiting, and others are started before it.
        """
        finished = [row for row, choice in self._running.items() if choice.is_finished]
        self._decoder.drop(finished)
        for row in finished:
            del self._running[row]
        unready = []
        while self._waiting and len(self._running) < self._limit:
            _, _, choice, prompt = item = heapq.heappop(self._waiting)
            if choice.is_finished:
                continue
            if not choice.is_ready:
                unready.append(item)
            else:
                row, reused = self._decoder.add(prompt, choice.limit, choice.sampler)
                self._running[row] = choice
                choice.answer.note_cached(choice, reused)
        for item in unready:
            heapq.heappush(self._waiting, item)
        return bool(self._running)

    @property
    def are_waiting(self) -> bool:
        """Whether choices wait for a free row or for their grammar."""
        return bool(self._waiting)

    @property
    def compiling(self) -> list[TokenConstraint]:
        """The constraints of waiting choices that are still being compiled."""
        choices = [choice for _, _, choice, _ in self._waiting if not (choice.is_finished or choice.is_ready)]
        return [choice.constraint for choice in choices if choice.constraint is not None]

    def step(self) -> Iterator[tuple[ChatChoice, int]]:
        """Decode a step. Yields the next token of each choice that is not cancelled or finished."""
        for row, token in self._decoder.step():
            choice = self._running[row]
            if not choice.is_finished:
                yield choice, token
