"""Turns tokens into text as they are generated: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_UNFINISHED = "\ufffd"
"""What a tokenizer shows for bytes that are not a character, or not yet a whole one."""


class Detokenizer:
    """Decodes a growing list of tokens into pieces of text; joined, the pieces are the whole text.

    A character may take several tokens (byte-level vocabularies, byte fallback), and a token's text may depend on the
    token before it (spaces in sentencepiece). So each new token is decoded together with the tokens of the last piece,
    and text that ends in an unfinished character is held back.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._sent_tokens = 0  # the tokens at the start of the window whose text has been returned
        self._sent_text = ""  # that text

    def push(self, token: int) -> str:
        """Add a token. Returns the text that is complete now and has not been returned before."""
        self._window.append(token)
        text = self._decode(self._window)
        if text.endswith(_UNFINISHED) or len(text) <= len(self._sent_text):
            return ""
        piece = text[len(self._sent_text) :]
        self._window = self._window[self._sent_tokens :]
        self._sent_tokens = len(self._window)
        self._sent_text = self._decode(self._window)
        return piece

    def flush(self) -> str:
        """Return the text that was held back, after the last token."""
        text = self._decode(self._window)
        piece, self._sent_text = text[len(self._sent_text) :], text
        return piece


def possible_start(text: str, marks: Sequence[str]) -> int:
    """The length of the longest end of `text` with which one of the marks may begin."""
    longest = max((len(mark) for mark in marks), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-length:]) for mark in marks):
            return length
    return 0


class StopStrings:
    """Passes text on up to the first stop string, which may be spread over any number of pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.matched: str | None = None
        """The stop string that has occurred; no text is passed on after it."""

    @property
    def is_matched(self) -> bool:
        """Whether a stop string has occurred."""
        return self.matched is not None

    def push(self, text: str) -> str:
        """Add text. Returns the text that cannot be the beginning of a stop string any more."""
        if self.is_matched:
            return ""
        self._held += text
        matches = [(start + len(stop), start, stop) for stop in self._stops if (start := self._held.find(stop)) >= 0]
        if matches:  # the one that ends first, so that the result does not depend on how the text is split
            _, start, self.matched = min(matches)
            piece, self._held = self._held[:start], ""
            return piece
        return self._release(len(self._held) - possible_start(self._held, self._stops))

    def flush(self) -> str:
        """Return the text that was held back, after the last piece."""
        return self._release(len(self._held))

    def _release(self, length: int) -> str:
        piece, self._held = self._held[:length], self._held[length:]
        return piece
