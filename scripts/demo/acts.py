"""What the demonstration asks the house to do: one function a task, each prints what came back and checks it."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from pathlib import Path

import httpx2

from scripts.demo.stage import FOLDER, Stage
from scripts.demo.voice import say

LINES = ("The engine starts when", "somebody asks for it.", "Invoice 2048: 17.50 EUR")
SENTENCES = ("A cat sleeps on the sofa.", "A kitten naps on the couch.", "The quarterly tax report is due.")

Act = Callable[[Stage], bool]


def read(stage: Stage) -> bool:
    """Text in a picture that is drawn here."""
    picture = _sign(FOLDER / "sign.png")
    image = base64.b64encode(picture.read_bytes()).decode()
    answer = httpx2.post(
        f"{stage.url}/v1/vision/ocr", json={"image": image, **stage.extra}, trust_env=False, timeout=300
    )
    answer.raise_for_status()
    item = answer.json()["data"][0]
    say(f"drew {picture.relative_to(FOLDER.parents[1])}, and the model reads in it:")
    for line in item["lines"]:
        say(f'  "{line["text"]}"  ({line["score"]:.0%} sure)')
    return all(line in item["text"] for line in LINES)


def embed(stage: Stage) -> bool:
    """Sentences to vectors; those that mean the same lie nearer."""
    answer = stage.client.embeddings.create(model="minilm", input=list(SENTENCES), extra_body=stage.extra)
    cat, kitten, tax = (item.embedding for item in answer.data)
    say(f"{len(SENTENCES)} sentences became vectors of {len(cat)} numbers. How near is each to “{SENTENCES[0]}”?")
    near, far = _cosine(cat, kitten), _cosine(cat, tax)
    say(f"  {near:5.2f}  {SENTENCES[1]}")
    say(f"  {far:5.2f}  {SENTENCES[2]}")
    return near > far + 0.3


def chat(stage: Stage) -> bool:
    """An answer that streams, from the demo model."""
    say("a demo model with random weights answers in random words, as they come:")
    stream = stage.client.chat.completions.create(
        model="demo-chat",
        messages=[{"role": "user", "content": "What do you see out of the window?"}],
        max_tokens=24,
        seed=7,
        stream=True,
        extra_body=stage.extra,
    )
    pieces = 0
    print("     ", end="", flush=True)
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            pieces += 1
            print(chunk.choices[0].delta.content, end="", flush=True)
    print()
    return pieces > 1


def draw(stage: Stage) -> bool:
    """A picture, from the demo model."""
    answer = stage.client.images.generate(
        model="demo-image", prompt="a red barn in the snow", extra_body={"seed": 7, **stage.extra}
    )
    assert answer.data is not None
    assert answer.data[0].b64_json is not None
    data = base64.b64decode(answer.data[0].b64_json)
    path = FOLDER / "drawn.png"
    path.write_bytes(data)
    say(f"a demo model with random weights drew noise: {path.relative_to(FOLDER.parents[1])}, {len(data) // 1024} KiB")
    return data.startswith(b"\x89PNG")


def _sign(path: Path) -> Path:
    """A picture with our lines of text."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (480, 120 + 80 * len(LINES)), "white")  # the nearer to a square, the quicker it is read
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(LINES):
        pen.text((30, 80 + 80 * number), line, fill="black", font=ImageFont.load_default(size=34))
    picture.save(path)
    return path


def _cosine(one: list[float], other: list[float]) -> float:
    dot = sum(x * y for x, y in zip(one, other, strict=True))
    return dot / math.sqrt(sum(x * x for x in one) * sum(y * y for y in other))
