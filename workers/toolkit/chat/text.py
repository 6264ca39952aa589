"""Turns tokens into text as they come: never half a character, never a part of a stop text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_UNFINISHED = "\ufffd"
"""What a tokenizer shows for bytes that are no character, or not yet."""


class Detokenizer:
    """Text of a growing list of tokens, in pieces that join to the whole.

    A character may be spread over several tokens (byte-level vocabularies, byte fallback), and what a token reads
    like may depend on the one before it (spaces in sentencepiece). So a window that begins with the last settled
    piece is decoded again with each token, and what ends in an unfinished character is held back.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._settled = 0  # so many of the window's tokens have been given out
        self._shown = ""  # ... as this text

    def push(self, token: int) -> str:
        """The text that is settled now and was not before."""
        self._window.append(token)
        text = self._decode(self._window)
        if text.endswith(_UNFINISHED) or len(text) <= len(self._shown):
            return ""
        piece = text[len(self._shown) :]
        self._window = self._window[self._settled :]
        self._settled = len(self._window)
        self._shown = self._decode(self._window)
        return piece

    def flush(self) -> str:
        """What was held back; no more tokens will come."""
        text = self._decode(self._window)
        piece, self._shown = text[len(self._shown) :], text
        return piece


class Stops:
    """Lets text through up to the first stop text, which may come in any number of pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """What can be given out: text that no stop text can begin in any more."""
        if self.found:
            return ""
        self._held += text
        ends = [(at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if ends:  # the one that is complete first, whatever the pieces
            self.found = True
            piece, self._held = self._held[: min(ends)[1]], ""
            return piece
        return self._release(len(self._held) - self._possible_start())

    def flush(self) -> str:
        """What was held back; no more text will come."""
        return self._release(len(self._held))

    def _possible_start(self) -> int:
        """The length of the longest end of the held text that may be the beginning of a stop text."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0

    def _release(self, length: int) -> str:
        piece, self._held = self._held[:length], self._held[length:]
        return piece
