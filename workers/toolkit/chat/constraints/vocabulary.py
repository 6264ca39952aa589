"""A model's tokens as bytes, in the form in which llguidance finds those that continue a grammar.

It takes llguidance about half a second to prepare 130,000 tokens, and it keeps Python's lock meanwhile. So this happens
in a thread while the model's weights are loaded, and a request hardly ever waits for it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import cached_property
from typing import Any

from contract.errors import UnsupportedFeature

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class Vocabulary:
    """The vocabulary of a Hugging Face tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._prepared: Future[Any] = Future()
        if not hasattr(tokenizer, "backend_tokenizer"):
            self._prepared.set_exception(_unsupported("it has no fast tokenizer"))
        else:
            threading.Thread(target=self._prepare, name="vocabulary", daemon=True).start()

    @property
    def is_supported(self) -> bool:
        """Whether answers can be constrained, as far as is known already."""
        return not self._prepared.done() or self._prepared.exception() is None

    @property
    def prepared(self) -> Any:
        """llguidance's form of the vocabulary. Waits for it; raises UnsupportedFeature if there is none."""
        return self._prepared.result()

    @cached_property
    def special_tokens(self) -> Mapping[str, int]:
        """The ids of the special tokens, which are not part of any text, by their names."""
        added = self._tokenizer.added_tokens_decoder.items()
        return {str(token): number for number, token in added if token.special}

    def _prepare(self) -> None:
        try:
            import llguidance

            tokens = llguidance.TokenizerWrapper(_TokenizerView(self._tokenizer, self.special_tokens))
            self._prepared.set_result(llguidance.LLTokenizer(tokens))
        except BaseException as error:  # llguidance panics with a BaseException, for example on too long tokens
            self._prepared.set_exception(_unsupported(f"its tokenizer cannot be used: {error}"))


class _TokenizerView:
    """What llguidance reads of a tokenizer."""

    def __init__(self, tokenizer: Any, special_tokens: Mapping[str, int]) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = tokenizer.eos_token_id
        self.bos_token_id = tokenizer.bos_token_id
        self.special_token_ids = list(special_tokens.values())
        self.tokens = token_bytes(tokenizer)

    def __call__(self, text: str | bytes) -> list[int]:
        """The tokens of a text."""
        text = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else text
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes of each token, by its id; none for unused ids. Raises ValueError for unknown kinds of tokenizers."""
    vocabulary, added = tokenizer.get_vocab(), tokenizer.added_tokens_decoder
    as_bytes = _piece_reader(tokenizer)
    tokens = [b""] * (max(vocabulary.values()) + 1)
    for token, number in vocabulary.items():
        tokens[number] = str(added[number]).encode() if number in added else as_bytes(token)
    return tokens


def byte_reader(tokenizer: Any) -> Callable[[int], bytes]:
    """A function that returns the bytes of a token, given its id. Raises ValueError for unknown kinds of tokenizers."""
    added, as_bytes = tokenizer.added_tokens_decoder, _piece_reader(tokenizer)

    def read(token: int) -> bytes:
        if token in added:
            return str(added[token]).encode()
        piece = tokenizer.convert_ids_to_tokens(token)
        return as_bytes(piece) if piece is not None else b""

    return read


def _piece_reader(tokenizer: Any) -> Callable[[str], bytes]:
    """The function that turns a token of the vocabulary into the bytes that it stands for."""
    return _byte_level if _decode(tokenizer, "Ġ") == " " else _sentencepiece(tokenizer)


def _decode(tokenizer: Any, *tokens: str) -> str:
    decoder = tokenizer.backend_tokenizer.decoder
    return decoder.decode(list(tokens)) if decoder else " ".join(tokens)


def _byte_level(token: str) -> bytes:
    """The bytes of a token of a byte-level vocabulary, which writes each byte as a printable character."""
    try:
        return token.translate(_BYTES).encode("latin-1")
    except UnicodeEncodeError:
        return b""  # no text leads to it


def _sentencepiece(tokenizer: Any) -> Callable[[str], bytes]:
    """The function for tokens that are text with `▁` for a space, and `<0x0A>` for bytes that no token has."""
    if _decode(tokenizer, "a", "▁b") != "a b":
        raise ValueError("it neither is byte-level nor marks spaces with ▁")
    has_bytes = "<0x0A>" in tokenizer.get_vocab() and _decode(tokenizer, "a", "<0x41>") == "aA"

    def as_bytes(token: str) -> bytes:
        if has_bytes and (match := _BYTE_TOKEN.fullmatch(token)):
            return bytes.fromhex(match[1])
        return token.replace("▁", " ").encode()

    return as_bytes


def _byte_table() -> dict[int, int]:
    """From the characters of byte-level vocabularies to their bytes; printable bytes stand for themselves (GPT-2)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(0x100) if byte not in printable]
    return {0x100 + number: byte for number, byte in enumerate(others)}


_BYTES = _byte_table()


def _unsupported(reason: str) -> UnsupportedFeature:
    return UnsupportedFeature(
        f"Answers of this model cannot be held to a schema: {reason}. Leave out response_format, and ask for "
        "the format in the prompt.",
        param="response_format",
    )
