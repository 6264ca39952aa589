"""Tests of grammars: which answers they allow, and which they do not."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import InvalidField, UnsupportedFeature
from tests.support import constraints
from workers.toolkit.chat.constraints import compiler as compilers
from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.constraints.compiler import GrammarCompiler
from workers.toolkit.chat.constraints.vocabulary import Vocabulary, token_bytes

_DIGIT = g.json_value({"type": "integer", "minimum": 0, "maximum": 9})
_AUTO = g.calls_in_text("<|call|>", g.text("f()"))
_AUTO_ONE = g.calls_in_text("<|call|>", g.text("f()"), only_one=True)
_CALL = g.sequence(g.text("<|call|>f("), _DIGIT, g.text(")"))


@pytest.fixture(scope="module")
def tokens() -> Any:
    return constraints.tokenizer()


@pytest.fixture(scope="module")
def compiler(tokens: Any) -> GrammarCompiler:
    return constraints.compiler(tokens)


@pytest.mark.parametrize(
    ("grammar", "allowed", "refused"),
    [
        (g.text("a b"), ["a b"], ["a", "a bc", "A b"]),
        (g.either(g.text("a"), g.text("b")), ["a", "b"], ["", "ab"]),
        (g.repeated(g.text("a"), least=2, most=3), ["aa", "aaa"], ["a", "aaaa"]),
        (g.repeated(g.text("a"), separator=g.text(",")), ["a", "a,a,a"], ["", "a,", "aa"]),
        (g.repeated(g.text("a"), least=0, most=2, separator=g.text(",")), ["", "a", "a,a"], ["a,a,a"]),
        (g.optional(g.text("a")), ["", "a"], ["aa"]),
        (g.pattern(r"\d{2}/[a-z]"), ["12/a"], ["1/a", "12/A"]),
        (g.pattern("^a+$"), ["aa"], ["", "ab"]),
        (g.either(g.literal('"<|x|>"\n'), g.literal("")), ['"<|x|>"\n', ""], ["<|x|>"]),
        (g.foreign('root ::= "a" b*\nb ::= [0-9]+ "."'), ["a", "a12.3."], ["", "a1"]),
        (g.foreign('start: "a" B\nB: /[0-9]{2}/'), ["a12"], ["a", "a1"]),
        (g.sequence(g.text("x"), g.foreign('root ::= "y" | other\nother ::= "z"')), ["xy", "xz"], ["y", "x"]),
        (_DIGIT, ["7"], ["-1", "10", "x", " 7"]),
        (_CALL, ["<|call|>f(1)"], ["f(1)"]),
        (_AUTO, ["", "Hi", "Hi<|call|>f()", "<|call|>f()<|call|>f() Bye"], ["<|call|>g"]),
        (_AUTO_ONE, ["Hi", "Hi<|call|>f()"], ["<|call|>f()<|call|>f()"]),
        (g.calls_in_text("[call]", g.text("f()")), ["Hi", "[cal", "Hi [call]f() and [call]f()"], ["Hi [call]g"]),
        (g.after_thoughts("</think>", _DIGIT), ["hm, 10</think>7", "</think>\n\n7"], ["7", "<think></think>7"]),
        (g.after_thoughts("</think>", _DIGIT, "<think>"), ["7", "<think>hm</think>\n7"], ["hm</think>7", "<think>7"]),
    ],
)
def test_allows_what_the_grammar_says(
    grammar: g.Grammar, allowed: list[str], refused: list[str], tokens: Any, compiler: GrammarCompiler
) -> None:
    assert [text for text in allowed if not fits(compiler, tokens, grammar, text)] == []
    assert [text for text in refused if fits(compiler, tokens, grammar, text)] == []


def test_markers_that_are_no_special_tokens_are_text(tokens: Any) -> None:
    from scripts.demo_models.tokenizers import byte_level

    plain = byte_level(constraints.ENDS, eos_token="<|im_end|>")
    compiler = constraints.compiler(plain)
    assert fits(compiler, plain, _CALL, "<|call|>f(1)")
    assert fits(compiler, plain, g.after_thoughts("</think>", _DIGIT), "x < y</think>7")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "pattern": "("}, "cannot be held to this schema"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "No answer can fit"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "No answer can fit"),
        ({"$ref": "#/$defs/missing"}, "cannot be held to this schema"),
    ],
)
def test_impossible_schema_is_refused(schema: Any, message: str, tokens: Any, compiler: GrammarCompiler) -> None:
    with pytest.raises(InvalidField, match=message) as caught:
        constraints.written(compiler, tokens, g.json_value(schema), seed=0)
    assert caught.value.param == "response_format"


@pytest.mark.parametrize("content", ["root ::= (", "hello", 'start: "a"\n}\nx: "y" {', "start: missing"])
def test_wrong_grammar_is_refused(content: str, tokens: Any, compiler: GrammarCompiler) -> None:
    with pytest.raises(InvalidField, match="cannot be held to this schema or grammar"):
        constraints.written(compiler, tokens, g.foreign(content), seed=0)


def test_white_space_is_bounded(tokens: Any, compiler: GrammarCompiler) -> None:
    value = g.json_value({"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 1})
    assert fits(compiler, tokens, value, "[\n    null\n]")
    assert not fits(compiler, tokens, value, "[  null]")
    assert not fits(compiler, tokens, value, "[\n\nnull]")


def test_key_cannot_be_repeated_in_other_characters(tokens: Any, compiler: GrammarCompiler) -> None:
    """The last of equal keys wins in JSON, so its value must fit too."""
    value = g.json_value({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]})
    assert fits(compiler, tokens, value, '{"a": null, "b": 1}')
    assert not fits(compiler, tokens, value, '{"a": null, "a": 1}')
    assert not fits(compiler, tokens, value, r'{"a": null, "\u0061": 1}')


def test_equal_grammars_are_compiled_once(compiler: GrammarCompiler) -> None:
    first, second = (compiler.constraint(g.text("same"), "tools") for _ in range(2))
    assert first.grammar is second.grammar is not None


def test_grammars_that_were_used_last_are_kept(tokens: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their number and their size are limited, and what is in use is compiled all the same."""
    monkeypatch.setattr(compilers, "_KEPT", 3)
    monkeypatch.setattr(compilers, "_KEPT_CHARACTERS", 30)
    kept = constraints.compiler(tokens)
    first = kept.constraint(g.text("a"), "tools").grammar
    for text in ("b", "c", "d"):
        assert kept.constraint(g.text("a"), "tools").grammar is first
        kept.constraint(g.text(text), "tools")
    large = kept.constraint(g.sequence(g.text("x" * 31), g.text("y")), "tools")
    assert large.is_active
    assert kept.constraint(g.text("a"), "tools").grammar is not first


def test_grammar_whose_answer_failed_is_compiled_again(compiler: GrammarCompiler) -> None:
    grammar = g.text("failing")
    first = compiler.constraint(grammar, "tools")
    first.fail("too many states")
    second = compiler.constraint(grammar, "tools")
    assert second.is_active
    assert second.grammar is not first.grammar


def test_bytes_of_sentencepiece_tokens() -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<unk>": 0, "</s>": 1, "<0x0A>": 2, "▁a": 3, "é": 4, '{"': 5}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens(["</s>"])
    tokens = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    assert token_bytes(tokens)[1:] == [b"</s>", b"\n", b" a", "é".encode(), b'{"']


def test_unknown_tokenizer_is_reported() -> None:
    vocabulary = Vocabulary(object())
    assert not vocabulary.is_supported
    with pytest.raises(UnsupportedFeature, match="no fast tokenizer"):
        _ = vocabulary.prepared


def fits(compiler: GrammarCompiler, tokens: Any, grammar: g.Grammar, text: str) -> bool:
    """Whether the tokens of a text are allowed one after another, and the answer may end after them."""
    constraint = compiler.constraint(grammar, "response_format")
    for number, token in enumerate([*tokens.encode(text, add_special_tokens=False), tokens.eos_token_id], 1):
        if not constraints.next_tokens(constraint, tokens)[token]:
            return False
        constraint.advance(number, token)
    return True
