"""A chat in the terminal, with images by path."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from client import Client, ServerError
from client.images import image_url

HELP = "Write a message; paths of images in it are sent along. /clear forgets the conversation, /bye or Ctrl-D ends it."

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""How the names of images end."""


class Conversation:
    """What has been said so far, and the model that answers."""

    def __init__(self, client: Client, model: str | None, options: dict[str, Any]) -> None:
        self._client = client
        self._model = model
        self._options = options
        self._messages: list[dict[str, Any]] = []

    def say(self, text: str, images: Sequence[str] = ()) -> Iterator[str]:
        """Send a message and yield the answer, piece by piece. A message that fails is not remembered."""
        content: Any = text
        if images:
            image_parts = [{"type": "image_url", "image_url": {"url": image_url(image)}} for image in images]
            content = [{"type": "text", "text": text}, *image_parts]
        messages = [*self._messages, {"role": "user", "content": content}]
        answer = ""
        for piece in self._client.stream_chat(messages, model=self._model, on_wait=_show_wait, **self._options):
            answer += piece.text
            if piece.text:
                yield piece.text
        self._messages = [*messages, {"role": "assistant", "content": answer}]

    def clear(self) -> None:
        """Forget everything."""
        self._messages.clear()


def converse(conversation: Conversation) -> None:
    """Read messages from the terminal until its end."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives `input` a history and editing
    print(HELP)
    while True:
        try:
            line = input(">>> ").strip()
        except EOFError:
            print()
            return
        if line in {"/bye", "/exit", "/quit"}:
            return
        if line == "/clear":
            conversation.clear()
        elif line in {"/help", "/?"}:
            print(HELP)
        elif line:
            text, images = split(line)
            _answer(conversation, text, images)


def split(line: str) -> tuple[str, list[str]]:
    """The text of a line, and the paths of images in it. A path with blanks needs quotes, as in a shell."""
    try:
        words = shlex.split(line)
    except ValueError:  # an apostrophe, most likely
        words = line.split()
    images = [word for word in words if is_image(word)]
    if not images:
        return line, []
    return " ".join(word for word in words if word not in images), images


def is_image(word: str) -> bool:
    """Whether a word is the path of an image file, or the URL of one."""
    return looks_like_image(word) and (word.lower().startswith(("http://", "https://")) or Path(word).is_file())


def looks_like_image(word: str) -> bool:
    """Whether a word ends as the names of images do."""
    return word.lower().partition("?")[0].endswith(ENDINGS)


def _answer(conversation: Conversation, text: str, images: Sequence[str]) -> None:
    try:
        for piece in conversation.say(text, images):
            print(piece, end="", flush=True)
    except ServerError as error:
        sys.stderr.write(str(error))
    except KeyboardInterrupt:  # ends the answer, not the conversation
        pass
    print()


def _show_wait(message: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"({message})\n")
