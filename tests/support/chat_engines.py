"""Sends requests to a chat engine in this process, as the batcher does, and draws images for them."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageDraw

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.chat import ChatChunk, ChatRequest, ChatResponse, fold
from tests.support.batching import answered_together
from tests.support.odd_images import uri
from workers.engine import Device, Engine
from workers.registry import find_engine

CPU = Device("cpu", "float32")

Piece = ChatChunk | ServeError | None


def load(source: Any, engine: str = "transformers_chat", device: Device = CPU, **entry: Any) -> Engine:
    """Load an engine on one thread, since such small models are slower on several."""
    threads = {"threads": 1} if "threads" in find_engine(engine).Options.model_fields else {}
    entry = {"id": "tiny", "source": str(source), **entry, "options": {**threads, **entry.get("options", {})}}
    loaded = find_engine(engine)()
    loaded.load(ModelSpec.model_validate({"engine": engine, **entry}), device)
    return loaded


def request(content: Any, **fields: Any) -> ChatRequest:
    """A request with one user turn (or with the given `messages`), greedy and short by default."""
    messages = [{"role": "user", "content": content}]
    return ChatRequest.model_validate({"messages": messages, "temperature": 0, "max_tokens": 12, **fields})


def run(engine: Any, *requests: ChatRequest) -> list[list[Piece]]:
    """The output for each request when they share a batch, with the final None."""
    return answered_together(engine.chat, requests)


def whole(pieces: list[Piece]) -> ChatResponse:
    """Join the pieces to an answer. Raises an error that is among them."""
    for piece in pieces:
        if isinstance(piece, ServeError):
            raise piece
    assert pieces[-1] is None, "None must follow the last chunk"
    return fold(piece for piece in pieces if isinstance(piece, ChatChunk))


def ask(engine: Any, content: Any, **fields: Any) -> ChatResponse:
    """The complete answer to one request."""
    return whole(run(engine, request(content, **fields))[0])


def text(answer: ChatResponse, index: int = 0) -> str:
    """The text of one choice."""
    return answer.choices[index].message.content or ""


def drawn_image(colour: str = "red", size: tuple[int, int] = (160, 120)) -> Any:
    """An image of an ellipse on a coloured background."""
    image = Image.new("RGB", size, colour)
    ImageDraw.Draw(image).ellipse((20, 20, size[0] - 30, size[1] - 30), fill="white", outline="black")
    return image


def image_part(image: Any) -> dict[str, Any]:
    """An image as a content part of a message."""
    return {"type": "image_url", "image_url": {"url": uri(image)}}


def with_images(words: str, *images: Any) -> list[dict[str, Any]]:
    """The content of a message: images, then text."""
    return [*(image_part(image) for image in images), {"type": "text", "text": words}]
