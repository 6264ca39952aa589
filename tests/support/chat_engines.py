"""Asks a chat engine in this process, as the batcher would, and draws the pictures to ask about."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageDraw

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.chat import ChatChunk, ChatRequest, ChatResponse, fold
from tests.support.batching import feed_of
from tests.support.odd_images import uri
from workers.engine import Call, Device, Engine
from workers.registry import find_engine

CPU = Device("cpu", "float32")

Piece = ChatChunk | ServeError | None


def load(source: Any, engine: str = "transformers_chat", device: Device = CPU, **entry: Any) -> Engine:
    """The engine with a model in it, on one thread: so small a model is slower on more."""
    threads = {"threads": 1} if "threads" in find_engine(engine).Options.model_fields else {}
    entry = {"id": "tiny", "source": str(source), **entry, "options": {**threads, **entry.get("options", {})}}
    loaded = find_engine(engine)()
    loaded.load(ModelSpec.model_validate({"engine": engine, **entry}), device)
    return loaded


def request(content: Any, **fields: Any) -> ChatRequest:
    """A request with one user turn (or with the given `messages`), greedy and short unless told otherwise."""
    messages = [{"role": "user", "content": content}]
    return ChatRequest.model_validate({"messages": messages, "temperature": 0, "max_tokens": 12, **fields})


def run(engine: Any, *requests: ChatRequest) -> list[list[Piece]]:
    """What each of the requests gets when they share a batch, its closing None included."""
    calls = [Call(item) for item in requests]
    pieces: dict[int, list[Piece]] = {id(call): [] for call in calls}
    for call, piece in engine.chat(feed_of(calls)):
        pieces[id(call)].append(piece)
    return [pieces[id(call)] for call in calls]


def whole(pieces: list[Piece]) -> ChatResponse:
    """The answer that the pieces make. Raises the error that is among them."""
    for piece in pieces:
        if isinstance(piece, ServeError):
            raise piece
    assert pieces[-1] is None, "a finished answer is closed with None"
    return fold(piece for piece in pieces if isinstance(piece, ChatChunk))


def ask(engine: Any, content: Any, **fields: Any) -> ChatResponse:
    """The whole answer to one request."""
    return whole(run(engine, request(content, **fields))[0])


def text(answer: ChatResponse, index: int = 0) -> str:
    """The words of one choice."""
    return answer.choices[index].message.content or ""


def picture(colour: str = "red", size: tuple[int, int] = (160, 120)) -> Any:
    """A drawing."""
    image = Image.new("RGB", size, colour)
    ImageDraw.Draw(image).ellipse((20, 20, size[0] - 30, size[1] - 30), fill="white", outline="black")
    return image


def part(image: Any) -> dict[str, Any]:
    """A picture as part of a message."""
    return {"type": "image_url", "image_url": {"url": uri(image)}}


def with_pictures(words: str, *images: Any) -> list[dict[str, Any]]:
    """The content of a message: pictures, then words."""
    return [*(part(image) for image in images), {"type": "text", "text": words}]
