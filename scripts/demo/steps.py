"""The requests of the demo, one function for each task. Each prints the answer and returns whether it is right."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from pathlib import Path

from scripts.demo import console
from scripts.demo.environment import FOLDER, ROOT, DemoEnvironment

SIGN = ("The engine starts when", "a request needs it.", "Invoice 2048: 17.50 EUR")
SENTENCES = ("A cat sleeps on the sofa.", "A kitten naps on the couch.", "The quarterly tax report is due.")

DemoStep = Callable[[DemoEnvironment], bool]


def read_text(demo: DemoEnvironment) -> bool:
    """Read the text in an image that is drawn here."""
    path = _draw_sign(FOLDER / "sign.png")
    image = base64.b64encode(path.read_bytes()).decode()
    answer = demo.server.post("/v1/vision/ocr", {"image": image, **demo.extra}).raise_for_status()
    item = answer.json()["data"][0]
    console.line(f"the model reads in {path.relative_to(ROOT)}:")
    for line in item["lines"]:
        console.line(f'  "{line["text"]}"  (score {line["score"]:.0%})')
    return all(line in item["text"] for line in SIGN)


def embed(demo: DemoEnvironment) -> bool:
    """Turn sentences into vectors; similar sentences get similar vectors."""
    answer = demo.client.embeddings.create(model="minilm", input=list(SENTENCES), extra_body=demo.extra)
    cat, kitten, tax = (item.embedding for item in answer.data)
    console.line(f"{len(SENTENCES)} vectors of {len(cat)} numbers. How similar is each sentence to “{SENTENCES[0]}”?")
    similar, different = _cosine(cat, kitten), _cosine(cat, tax)
    console.line(f"  {similar:5.2f}  {SENTENCES[1]}")
    console.line(f"  {different:5.2f}  {SENTENCES[2]}")
    return similar > different + 0.3


def chat(demo: DemoEnvironment) -> bool:
    """Stream an answer of the demo model."""
    console.line("a demo model with random weights streams random words:")
    stream = demo.client.chat.completions.create(
        model="demo-chat",
        messages=[{"role": "user", "content": "What do you see out of the window?"}],
        max_tokens=24,
        seed=7,
        stream=True,
        extra_body=demo.extra,
    )
    pieces = 0
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            if not pieces:  # not before: until then, events are printed
                print("     ", end="", flush=True)
            pieces += 1
            print(chunk.choices[0].delta.content, end="", flush=True)
    print()
    return pieces > 1


def generate_image(demo: DemoEnvironment) -> bool:
    """Generate an image with the demo model."""
    answer = demo.client.images.generate(
        model="demo-image", prompt="a red barn in the snow", extra_body={"seed": 7, **demo.extra}
    )
    assert answer.data is not None
    assert answer.data[0].b64_json is not None
    data = base64.b64decode(answer.data[0].b64_json)
    path = FOLDER / "drawn.png"
    path.write_bytes(data)
    console.line(f"a demo model with random weights generates noise: {path.relative_to(ROOT)}, {len(data) // 1024} KiB")
    return data.startswith(b"\x89PNG")


def _draw_sign(path: Path) -> Path:
    """Save an image with our lines of text."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (480, 120 + 80 * len(SIGN)), "white")  # OCR is fastest on images that are nearly square
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(SIGN):
        pen.text((30, 80 + 80 * number), line, fill="black", font=ImageFont.load_default(size=34))
    image.save(path)
    return path


def _cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
