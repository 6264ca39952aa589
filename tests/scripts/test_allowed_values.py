"""The words of ranges and choices in the tables of docs/configuration.md."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, create_model

from contract.config.fields import Seconds
from contract.config.models import ModelName, Replicas
from scripts.check.allowed_values import allowed_values
from workers.toolkit.chat.dialect import ReasoningFormatName


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[int, Field(ge=0)], "0 or more"),
        (Annotated[int, Field(ge=1, le=65535)], "1 to 65535"),
        (Annotated[float, Field(ge=0, le=0.5)], "0 to 0.5"),
        (Annotated[float, Field(gt=0, le=1024)], "more than 0, at most 1024"),
        (Annotated[float, Field(ge=0, lt=1)], "0 or more, less than 1"),
        (Annotated[int, Field(le=9)], "at most 9"),
        (Annotated[Seconds | None, Field(gt=0)], "more than 0, or `null`"),
        (Annotated[Seconds | None, Field(ge=-1)], "-1 or more, or `null`"),
        (Replicas, "1 or more, or `per-gpu`"),
        (Literal["auto", "float32"], "`auto` or `float32`"),
        (Literal["a", "b", "c"] | None, "`a`, `b`, `c` or `null`"),
        (Literal[8, 4], "`8` or `4`"),
        (bool, "`true` or `false`"),
        (bool | None, "`true`, `false` or `null`"),
        (Annotated[str, Field(min_length=1)], "not empty"),
        (Annotated[str, Field(min_length=8)], "8 characters or more"),
        (Annotated[str, Field(max_length=20)], "at most 20 characters"),
        (Annotated[str, Field(min_length=2, max_length=20)], "2 to 20 characters"),
        (ModelName, "a name without spaces and without #"),
        (str | None, ""),
        (int, ""),
        (tuple[str, ...], ""),
    ],
)
def test_ranges_and_choices_have_words(annotation: Any, words: str) -> None:
    assert allowed_values(create_model("Section", key=(annotation, ...))) == {"key": words}


def test_names_that_a_validator_knows_are_choices() -> None:
    words = allowed_values(create_model("Section", key=(ReasoningFormatName | None, None)))["key"]
    assert words.startswith("`harmony`, ")
    assert words.endswith("`none` or `null`")
