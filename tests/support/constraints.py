"""Random answers that keep to a grammar: each token is drawn from all those that the masks allow."""

from __future__ import annotations

import random
from typing import Any

from workers.toolkit.chat.constraints.compiler import GrammarCompiler
from workers.toolkit.chat.constraints.grammar import Grammar
from workers.toolkit.chat.constraints.masks import excluded_tokens
from workers.toolkit.chat.constraints.token_constraint import TokenConstraint
from workers.toolkit.chat.constraints.vocabulary import Vocabulary

MARKERS = ("<think>", "</think>", "<|call|>")
ENDS = ("<|endoftext|>", "<|im_end|>")


def tokenizer() -> Any:
    """A tokenizer with a token for each byte, and special tokens."""
    from scripts.demo_models.tokenizers import byte_level

    return byte_level((*ENDS, "<|im_start|>", *MARKERS), eos_token="<|im_end|>", pad_token="<|endoftext|>")


def compiler(tokens: Any) -> GrammarCompiler:
    """Compiles grammars for a tokenizer."""
    return GrammarCompiler(Vocabulary(tokens), frozenset(tokens.convert_tokens_to_ids(list(ENDS))))


def next_tokens(constraint: TokenConstraint, tokens: Any) -> Any:
    """Which tokens may come next, as booleans. Models have more scores than tokens. Raises the constraint's error."""
    [excluded] = excluded_tokens([constraint], len(tokens) + 37)
    if constraint.error:
        raise constraint.error
    return ~excluded


def written(grammars: GrammarCompiler, tokens: Any, grammar: Grammar, seed: int, limit: int = 20_000) -> str | None:
    """An answer of random tokens that the grammar allows; None if it has not ended after `limit` tokens."""
    constraint = grammars.constraint(grammar, "response_format")
    choice = random.Random(seed)
    answer: list[int] = []
    while len(answer) < limit:
        token = int(choice.choice(next_tokens(constraint, tokens).nonzero()[0]))
        if token in constraint.end_tokens:
            return str(tokens.decode(answer))
        answer.append(token)
        constraint.advance(len(answer), token)
        if constraint.complete_after is not None:
            assert constraint.complete_after == len(answer)
            return str(tokens.decode(answer))
    return None
