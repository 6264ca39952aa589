"""What `enginehouse run` was asked, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from command.session import CommandError


@dataclass(frozen=True, slots=True)
class Question:
    """One call of `run`: the model (None: the task's default), texts, images, and options of the task.

    `ending` is that of the file to write the answer to, such as `.mp3`; empty without one.
    """

    model: str | None
    prompt: str | None = None
    images: Sequence[str] = ()
    options: dict[str, Any] = field(default_factory=dict)
    ending: str = ""

    @property
    def image(self) -> str:
        """The only image. Raises CommandError if there is none, or more than one."""
        if len(self.images) != 1:
            raise CommandError("Name one image: a path or a URL, such as photo.jpg")
        return self.images[0]

    @property
    def recording(self) -> str:
        """The only file. Raises CommandError if there is none, or more than one."""
        if len(self.images) != 1:
            raise CommandError("Name one file with sound, such as meeting.mp3")
        return self.images[0]

    @property
    def text(self) -> str:
        """The prompt. Raises CommandError if there is none."""
        if not self.prompt:
            raise CommandError("Say what to do: --prompt TEXT")
        return self.prompt

    def upright_image(self) -> Image.Image:
        """The image, upright, to draw on. Raises CommandError for one that is not on this machine."""
        from PIL import ImageOps

        if self.image.startswith(("http://", "https://", "data:")):
            raise CommandError("Only an image on this machine can be drawn on: download it first")
        try:
            with Image.open(self.image) as image:
                return ImageOps.exif_transpose(image).convert("RGB")
        except OSError as error:
            raise CommandError(f"{self.image} cannot be opened: {error}") from None


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer: sentences for people, a document for scripts, and what `--out` writes.

    `endings` are those of `file`, if it is no image.
    """

    said: str
    document: Any
    image: Image.Image | None = None
    file: bytes | None = None
    arrays: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    endings: Sequence[str] = ()

    def save(self, path: Path) -> None:
        """Write what the file's ending names. Raises CommandError if the answer has no such form."""
        match path.suffix.lower():
            case ".json":
                path.write_text(json.dumps(self.document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
            case ".npz" if self.arrays:
                np.savez_compressed(path, allow_pickle=False, **self.arrays)
            case ".npy" if self.arrays:
                np.save(path, next(iter(self.arrays.values())), allow_pickle=False)
            case ".txt" | ".md":
                path.write_text(self.said + "\n", encoding="utf-8")
            case suffix if self.file and suffix in self.endings:
                path.write_bytes(self.file)
            case ".png" if self.file and self.file.startswith(b"\x89PNG"):
                path.write_bytes(self.file)
            case suffix if self.image and suffix in Image.registered_extensions():
                self.image.save(path)
            case _:
                raise CommandError(
                    f"{path} cannot be written: this answer can be saved as {', '.join(self._endings())}"
                )

    def _endings(self) -> list[str]:
        image_endings = [".png", ".jpg", ".webp"] if self.image else []
        return [*self.endings, *image_endings, *([".npz", ".npy"] if self.arrays else []), ".json", ".txt"]
