"""One function for each task: sends the question, and says what the model saw, read or drew."""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from client import Client
from client.calls.drawing import DrawnImage
from client.calls.speech import SpokenText
from command.run import drawing
from command.run.question import Outcome, Question
from command.session import CommandError

Ask = Callable[[Client, Question], Outcome]
_SOUNDS = {
    ".mp3": "mp3", ".opus": "opus", ".ogg": "opus", ".aac": "aac", ".flac": "flac", ".wav": "wav", ".pcm": "pcm",
}  # fmt: skip
"""The format of speech for the ending of its file."""


def detect(client: Client, question: Question) -> Outcome:
    """Boxes around objects."""
    image = question.upright_image()
    objects = client.detect(question.image, _labels(question), model=question.model, **question.options)
    lines = [f"{one.label} {one.score:.2f} at {_box(one.box)}" for one in objects]
    document = [dataclasses.asdict(one) for one in objects]
    return Outcome(
        "\n".join([_counted([one.label for one in objects]), *lines]), document, drawing.boxes(image, objects)
    )


def segment(client: Client, question: Question) -> Outcome:
    """Masks of objects."""
    image, prompt = question.upright_image(), _labels(question)
    automatic = None if prompt else True
    segments = client.segment(question.image, prompt, automatic=automatic, model=question.model, **question.options)
    share = 100 / (image.width * image.height)
    names = [one.label or "segment" for one in segments]
    lines = [
        f"{name} {one.score:.2f}, {one.area * share:.1f} % of the image, at {_box(one.box)}"
        for name, one in zip(names, segments, strict=True)
    ]
    fields = [{k: v for k, v in _shallow(one).items() if k != "mask"} for one in segments]
    arrays = {"masks": np.stack([one.mask for one in segments])} if segments else {}
    return Outcome("\n".join([_counted(names), *lines]), fields, drawing.masks(image, segments), arrays=arrays)


def depth(client: Client, question: Question) -> Outcome:
    """The distance of every pixel."""
    estimate = client.depth(question.image, model=question.model, **question.options)
    height, width = estimate.depth.shape
    unit = "m" if estimate.unit == "metre" else f"({estimate.unit} {estimate.kind})"
    middle = float(estimate.depth[height // 2, width // 2])
    said = f"{width}x{height} pixels from {estimate.min:.2f} to {estimate.max:.2f} {unit}, {middle:.2f} in the middle"
    document = {"kind": estimate.kind, "unit": estimate.unit, "min": estimate.min, "max": estimate.max}
    document |= {"width": width, "height": height, "middle": middle}
    return Outcome(said, document, drawing.depth(estimate), arrays={"depth": estimate.depth})


def pointcloud(client: Client, question: Question) -> Outcome:
    """The points that an image shows; the camera's intrinsics come from the model, or from `--option`."""
    cloud = client.pointcloud(question.image, model=question.model, colors=True, **question.options)
    document = {"points": len(cloud.points), "unit": cloud.unit, "camera_intrinsics": cloud.camera_intrinsics}
    arrays = {"points": cloud.points} | ({} if cloud.colors is None else {"colors": cloud.colors})
    return Outcome(f"{len(cloud.points)} points, in {cloud.unit}s", document, arrays=arrays)


def features(client: Client, question: Question) -> Outcome:
    """The vector of an image."""
    vectors = client.features(question.image, model=question.model, **question.options)
    arrays = {name: getattr(vectors, name) for name in ("pooled", "patches", "tokens")}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    document = {"dimensions": vectors.dimensions, **{name: list(array.shape) for name, array in arrays.items()}}
    return Outcome(f"a vector of {vectors.dimensions} dimensions", document, arrays=arrays)


def caption(client: Client, question: Question) -> Outcome:
    """A sentence that describes the image."""
    text = client.caption(question.image, question.prompt, model=question.model, **question.options)
    return Outcome(text, {"text": text})


def ocr(client: Client, question: Question) -> Outcome:
    """The text in the image."""
    text = client.ocr(question.image, model=question.model, **question.options)
    return Outcome(text.text, dataclasses.asdict(text))


def analyze(client: Client, question: Question) -> Outcome:
    """A chat model's answer about the image."""
    text = client.analyze(question.image, question.prompt, model=question.model, **question.options)
    return Outcome(text, {"text": text})


def embeddings(client: Client, question: Question) -> Outcome:
    """The vector of a text, or of images."""
    texts = [question.prompt] if question.prompt else []
    if not (texts or question.images):
        raise CommandError("Give a text or an image to embed: --prompt TEXT")
    vectors = client.embed(texts, images=question.images, model=question.model, **question.options)
    said = f"{len(vectors)} {'vector' if len(vectors) == 1 else 'vectors'} of {vectors.shape[1]} dimensions"
    return Outcome(said, vectors.tolist(), arrays={"vectors": vectors})


def rerank(client: Client, question: Question) -> Outcome:
    """The lines of text files, in the order in which they answer the prompt."""
    rankings = client.rerank(question.text, _lines(question.images), model=question.model, **question.options)
    said = "\n".join(f"{ranking.score:.3f} {ranking.document}" for ranking in rankings)
    return Outcome(said, [dataclasses.asdict(ranking) for ranking in rankings])


def generate(client: Client, question: Question) -> Outcome:
    """Draw an image."""
    return _drawn(client.draw(question.text, model=question.model, **question.options))


def edit(client: Client, question: Question) -> Outcome:
    """Redraw an image."""
    images: Any = question.images if len(question.images) > 1 else question.image
    return _drawn(client.edit_image(images, question.text, model=question.model, **question.options))


def vary(client: Client, question: Question) -> Outcome:
    """Draw a variation of an image."""
    images = client.vary_image(question.image, prompt=question.prompt, model=question.model, **question.options)
    return _drawn(images)


def crawl(client: Client, question: Question) -> Outcome:
    """Read a web page."""
    url = question.images[0] if question.images else question.text
    page = client.crawl(url, model=question.model, **question.options)
    document = {name: value for name, value in dataclasses.asdict(page).items() if name != "screenshot"}
    return Outcome(f"{page.title}\n\n{page.text}", document, file=page.screenshot)


def transcribe(client: Client, question: Question) -> Outcome:
    """The text of a recording."""
    return _spoken(client.transcribe(question.recording, model=question.model, **_prompted(question)))


def translate(client: Client, question: Question) -> Outcome:
    """The text of a recording, in English."""
    return _spoken(client.translate_speech(question.recording, model=question.model, **_prompted(question)))


def speak(client: Client, question: Question) -> Outcome:
    """Read a text aloud, or text files."""
    text = question.prompt or "\n".join(_lines(question.images))
    sound = _SOUNDS.get(question.ending, "wav")
    file = client.speak(text, model=question.model, **{"response_format": sound, **question.options})
    said = f"{len(file)} bytes of speech" if question.ending else "Spoken. Save it with --out speech.mp3"
    return Outcome(said, {"bytes": len(file), "format": sound}, file=file, endings=_endings(sound))


TASKS: dict[str, Ask] = {
    "detect": detect, "segment": segment, "depth": depth, "pointcloud": pointcloud, "features": features,
    "caption": caption, "ocr": ocr, "analyze": analyze, "embeddings": embeddings, "rerank": rerank,
    "image-generation": generate, "image-edit": edit, "image-variation": vary, "crawl": crawl,
    "transcription": transcribe, "translation": translate, "speech": speak,
}  # fmt: skip
"""Every task but chat, which is a conversation."""


def _prompted(question: Question) -> dict[str, Any]:
    return {"prompt": question.prompt, **question.options}


def _spoken(spoken: SpokenText) -> Outcome:
    return Outcome(spoken.text, dataclasses.asdict(spoken))


def _endings(sound: str) -> list[str]:
    return [ending for ending, name in _SOUNDS.items() if name == sound]


def _labels(question: Question) -> list[str] | None:
    """Several labels may be separated by commas."""
    return [label.strip() for label in question.prompt.split(",") if label.strip()] if question.prompt else None


def _lines(paths: Sequence[str]) -> list[str]:
    """The lines of files that are not blank. Raises CommandError if there are none."""
    try:
        texts = [Path(path).read_text(encoding="utf-8") for path in paths]
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"A file cannot be read as text: {error}") from None
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    if not lines:
        raise CommandError("Name text files; each of their lines is a document to rank")
    return lines


def _shallow(found: Any) -> dict[str, Any]:
    return {member.name: getattr(found, member.name) for member in dataclasses.fields(found)}


def _counted(names: Sequence[str]) -> str:
    """`3 objects: 2 cat, 1 dog`."""
    if not names:
        return "nothing"
    counts = ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())
    return f"{len(names)} {'object' if len(names) == 1 else 'objects'}: {counts}"


def _box(box: Sequence[float]) -> str:
    return "(" + ", ".join(f"{side:.0f}" for side in box) + ")"


def _drawn(images: Sequence[DrawnImage]) -> Outcome:
    first = images[0]
    image = Image.open(io.BytesIO(first.file))
    seeds = ", ".join(str(one.seed) for one in images)
    said = f"{image.width}x{image.height} pixels, seed {seeds}"
    document = {"width": image.width, "height": image.height, "seeds": [one.seed for one in images]}
    return Outcome(said, document, image, first.file)
