"""Compiles grammars for one model, outside the thread that runs it, and keeps those that are in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set
from concurrent.futures import Future, ThreadPoolExecutor

from contract.errors import InvalidField, ServeError
from workers.toolkit.chat.constraints import lark
from workers.toolkit.chat.constraints.grammar import Grammar
from workers.toolkit.chat.constraints.token_constraint import CompiledGrammar, TokenConstraint
from workers.toolkit.chat.constraints.vocabulary import Vocabulary

_KEPT = 32
"""The maximum number of grammars that are kept; clients send the same few again and again."""
_KEPT_CHARACTERS = 2_000_000
"""The maximum number of characters of the grammars that are kept: one takes up to 250 bytes of memory for each."""

_THREADS = 4
"""The number of grammars that are compiled at the same time: one that takes a second keeps no others waiting."""

_LIMITS = {
    "initial_lexer_fuel": 200_000,
    "step_lexer_fuel": 50_000,
    "max_grammar_size": 200_000,
    "max_lexer_states": 50_000,
}
"""Limits of the work on a grammar before the answer and on each of its tokens, in units of llguidance.

A state takes one or two kilobytes, and all answers with a grammar share its states.
"""

_REASON = 300
"""The maximum length of a reason for a refusal; it may contain all patterns."""


class GrammarCompiler:
    """Makes the constraints of answers. `end_tokens` are the tokens that end an answer of the model."""

    def __init__(self, vocabulary: Vocabulary, end_tokens: Set[int]) -> None:
        self._vocabulary = vocabulary
        self._end_tokens = sorted(end_tokens)
        self._compiled: OrderedDict[Grammar, Future[CompiledGrammar]] = OrderedDict()
        self._threads = ThreadPoolExecutor(_THREADS, "grammars")

    @property
    def is_supported(self) -> bool:
        """Whether answers of this model can be constrained."""
        return self._vocabulary.is_supported

    def constraint(self, grammar: Grammar, field: str) -> TokenConstraint:
        """A constraint for one answer, whose errors name a `field` of the request.

        It is compiled in the background, and has an error instead if that fails.
        """
        compiled = self._compiled.pop(grammar, None)
        if compiled is None or _has_failed(compiled):
            compiled = self._threads.submit(self._compile, grammar, field)
            self._forget(grammar.characters)
        self._compiled[grammar] = compiled
        return TokenConstraint(compiled, self._end_tokens)

    def _forget(self, characters: int) -> None:
        """Drop the grammars that were used longest ago, so that there is room for one more of so many characters."""
        room = _KEPT_CHARACTERS - characters
        while len(self._compiled) >= _KEPT or sum(kept.characters for kept in self._compiled) > max(room, 0):
            self._compiled.popitem(last=False)

    def _compile(self, grammar: Grammar, field: str) -> CompiledGrammar:
        import llguidance

        vocabulary = self._vocabulary.prepared
        try:
            source = llguidance.LLMatcher.grammar_from_lark(lark.write(grammar, self._vocabulary.special_tokens))
            limits = llguidance.LLParserLimits(verbose_errors=False, **_LIMITS)
            matcher = llguidance.LLMatcher(vocabulary, source, log_level=0, limits=limits)
        except BaseException as error:  # llguidance panics with a BaseException
            raise _refusal(str(error), field) from None
        if matcher.is_error():
            raise _refusal(matcher.get_error(), field)
        return CompiledGrammar(matcher, vocabulary.vocab_size, vocabulary.eos_token)


def _has_failed(compiled: Future[CompiledGrammar]) -> bool:
    return compiled.done() and (compiled.exception() is not None or compiled.result().has_failed)


def _refusal(reason: str, field: str) -> ServeError:
    """The error for a grammar that does not compile. It is of the client's making: the schema or a pattern in it."""
    reason = reason.partition("\n")[0][:_REASON]  # the grammar follows it
    if "nsatisfiable" in reason:
        return InvalidField(f"No answer can fit this schema or grammar: {reason}", param=field)
    return InvalidField(f"Answers cannot be held to this schema or grammar: {reason}", param=field)
