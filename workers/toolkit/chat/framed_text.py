"""Takes the marks out of an answer's text, for models whose answers have several parts with marks around them."""

from __future__ import annotations

from collections.abc import Iterator

from workers.toolkit.chat.detokenizer import possible_start
from workers.toolkit.chat.output_parser import OutputParser, OutputPiece
from workers.toolkit.chat.reasoning_formats import AnswerFrame


class FramedText:
    """Drops the marks of a frame, and gives everything else to another parser."""

    is_thinking = False

    def __init__(self, frame: AnswerFrame, rest: OutputParser) -> None:
        self._marks, self._rest = frame.marks, rest
        self._held = ""

    def push(self, text: str) -> Iterator[OutputPiece]:
        """Add text. Yields what the other parser yields for the text between marks."""
        self._held += text
        yield from self._read(ended=False)

    def flush(self) -> Iterator[OutputPiece]:
        """Yield what was held back: a mark that is not complete is text."""
        yield from self._read(ended=True)
        yield from self._rest.flush()

    def _read(self, *, ended: bool) -> Iterator[OutputPiece]:
        mark = "none yet"
        while mark:
            place, mark = min(((p, m) for m in self._marks if (p := self._held.find(m)) >= 0), default=(-1, ""))
            length = place if mark else len(self._held) - (0 if ended else possible_start(self._held, self._marks))
            text, self._held = self._held[:length], self._held[length + len(mark) :]
            if text:
                yield from self._rest.push(text)
