"""The texts that images are sent as, and the parts of messages that hold them.

The tests try each of them, and the tables in docs/vision.md are made from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class ImageText:
    """A text as which a file is sent: `shown` is its beginning in the table, `text` makes it from the file's base64."""

    kind: str
    shown: str
    text: Callable[[str], str]


@dataclass(frozen=True)
class MessageImage:
    """A part of a message: `shown` is what the table shows of it, `part` makes it from a data URI or base64."""

    source: str
    part: Callable[[str], dict[str, Any]]


def _url_safe(text: str) -> str:
    return text.replace("+", "-").replace("/", "_")


TEXTS = (
    ImageText("base64", "iVBORw0KGgo…", lambda text: text),
    ImageText("base64, URL-safe", "iVBORw0KGgo_…", _url_safe),
    ImageText(
        "base64 in lines",
        "iVBORw0KGgo…⏎",
        lambda text: "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76)),
    ),
    ImageText("base64 without padding", "iVBORw0KGgo…", lambda text: text.rstrip("=")),
    ImageText("base64 after spaces", "␣iVBORw0KGgo…", lambda text: f"  \n{text}"),
    ImageText("data URI", "data:image/png;base64,…", lambda text: f"data:image/png;base64,{text}"),
    ImageText("data URI after a space", "␣data:image/png;base64,…", lambda text: f" data:image/png;base64,{text}"),
    ImageText("data URI in capitals", "DATA:IMAGE/PNG;BASE64,…", lambda text: f"DATA:IMAGE/PNG;BASE64,{text}"),
    ImageText("data URI without a type", "data:;base64,…", lambda text: f"data:;base64,{text}"),
    ImageText(
        "data URI with a parameter",
        "data:image/png;name=a.png;base64,…",
        lambda text: f"data:image/png;name=a-b_c.png;base64,{text}",
    ),
    ImageText(
        "data URI with a quoted parameter",
        'data:image/png;name="a, b.png";base64,…',
        lambda text: f'data:image/png;name="a, b; c.png";base64,{text}',
    ),
    ImageText("data URI, URL-safe", "data:image/png;base64,…", lambda text: f"data:image/png;base64,{_url_safe(text)}"),
    ImageText(
        "data URI, percent-encoded",
        "data:image/png;base64,iVBORw0KGgo%2F…",
        lambda text: f"data:image/png;base64,{quote(text, safe='')}",
    ),
    ImageText(
        "data URI without padding", "data:image/png;base64,…", lambda text: f"data:image/png;base64,{text.rstrip('=')}"
    ),
)

PARTS = (
    MessageImage("OpenAI", lambda uri: {"type": "image_url", "image_url": {"url": uri}}),
    MessageImage("OpenAI, without the object", lambda uri: {"type": "image_url", "image_url": uri}),
    MessageImage("OpenAI, as a file", lambda uri: {"type": "file", "file": {"filename": "a.png", "file_data": uri}}),
    MessageImage("OpenAI's Responses API, as a file", lambda uri: {"type": "input_file", "file_data": uri}),
    MessageImage("OpenAI's Responses API", lambda uri: {"type": "input_image", "image_url": uri}),
    MessageImage(
        "Anthropic",
        lambda uri: {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": uri.rpartition(",")[2]},
        },
    ),
    MessageImage("Anthropic", lambda uri: {"type": "image", "source": {"type": "url", "url": uri}}),
    MessageImage("transformers", lambda uri: {"type": "image", "image": uri}),
    MessageImage("LangChain", lambda uri: {"type": "image", "url": uri}),
    MessageImage(
        "LangChain", lambda uri: {"type": "image", "base64": uri.rpartition(",")[2], "mime_type": "image/png"}
    ),
)
