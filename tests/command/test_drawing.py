"""What is drawn onto an image, and what an answer can be saved as."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client.calls.vision import EstimatedDepth, FoundObject, FoundSegment
from command.run import drawing
from command.run.conversation import split
from command.run.question import Outcome
from command.session import CommandError

GREY = Image.new("RGB", (64, 48), (128, 128, 128))


def test_boxes_are_drawn_around_objects() -> None:
    drawn = np.asarray(drawing.boxes(GREY, [FoundObject("cat", 0.9, (10, 20, 50, 40))]))
    assert tuple(drawn[30, 10]) == drawing.colour(0)
    assert tuple(drawn[30, 30]) == (128, 128, 128)


def test_masks_shine_through() -> None:
    mask = np.zeros((48, 64), bool)
    mask[20:40, 10:50] = True
    drawn = np.asarray(drawing.masks(GREY, [FoundSegment(None, 0.9, (10, 20, 50, 40), 800, mask)]))
    assert tuple(drawn[30, 30]) == tuple((64 + 0.5 * np.asarray(drawing.colour(0))).astype(int))
    assert tuple(drawn[45, 60]) == (128, 128, 128)


@pytest.mark.parametrize(("kind", "near"), [("depth", 0), ("disparity", 1)])
def test_near_is_red_and_far_is_blue(kind: str, near: int) -> None:
    values = np.array([[1, 9]], np.float32)
    drawn = np.asarray(drawing.depth(EstimatedDepth(values, kind, "metre", 1, 9)))[0]
    assert tuple(drawn[near]) == (255, 0, 0)
    assert drawn[1 - near][2] == 255


def test_answers_are_saved_as_the_ending_says(tmp_path: Path) -> None:
    outcome = Outcome("seen", {"a": 1}, GREY, arrays={"depth": np.ones((2, 3), np.float32)})
    for name in ("a.png", "a.jpg", "a.npz", "a.npy", "a.json", "a.txt"):
        outcome.save(tmp_path / name)
    with Image.open(tmp_path / "a.jpg") as image, np.load(tmp_path / "a.npz") as arrays:
        assert (image.size, arrays["depth"].shape) == ((64, 48), (2, 3))
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    with pytest.raises(CommandError, match="can be saved as"):
        Outcome("seen", {}).save(tmp_path / "a.png")


def test_paths_of_images_in_a_line_are_sent_along(tmp_path: Path) -> None:
    path = tmp_path / "my photo.jpg"
    GREY.save(path)
    assert split(f"what is in '{path}' ?") == ("what is in ?", [str(path)])
    assert split("it's missing.jpg") == ("it's missing.jpg", [])
