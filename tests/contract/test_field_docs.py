"""Descriptions of fields come from the docstrings of a model and its bases."""

from __future__ import annotations

from pydantic import BaseModel

from contract.field_docs import describe_answers, describe_fields, field_descriptions
from contract.tasks.crawl import CrawlRequest
from contract.tasks.image_edit import ImageEditRequest
from contract.tasks.segment import SegmentRequest


class Base(BaseModel):
    """Fields of all. `common` is in every request."""

    common: int = 0


class Example(Base):
    """What it does needs `mentioned` now and then.

    `first` and `second` come together. They are
    numbers. `third`: a text.

    - `item`: one of a list.
      It may go on.
    - `other`: the next one.
    """

    first: int = 0
    second: int = 0
    third: str = ""
    item: int = 0
    other: int = 0
    mentioned: int = 0
    silent: int = 0


def test_describes_each_field_by_the_sentences_about_it() -> None:
    assert field_descriptions(Example) == {
        "common": "`common` is in every request.",
        "first": "`first` and `second` come together. They are numbers.",
        "second": "`first` and `second` come together. They are numbers.",
        "third": "A text.",
        "item": "One of a list. It may go on.",
        "other": "The next one.",
        "mentioned": "What it does needs `mentioned` now and then.",
    }


def test_describes_the_fields_of_real_requests() -> None:
    segment = field_descriptions(SegmentRequest)
    assert segment["threshold"].startswith("The minimum score of a segment")
    assert "prompt" in segment["image"] or "image" in segment["image"]
    assert field_descriptions(CrawlRequest)["wait_for"] == "A CSS selector; wait until such an element is visible."
    edit = field_descriptions(ImageEditRequest)
    assert edit["mask"].startswith("An image of the same size")
    assert "white is redrawn" in edit["mask"]
    assert edit["guidance"]
    assert edit["keep_alive"]


def test_table_describes_fields_that_docstrings_do_not() -> None:
    class Grid(BaseModel):
        """`width` is that of the grid."""

        width: int
        top_k: int

    assert field_descriptions(Grid)["width"] == "`width` is that of the grid."
    assert field_descriptions(Grid)["top_k"].startswith("Samples among")


def test_models_in_a_model_are_described() -> None:
    class Inner(BaseModel):
        top_k: int

    class Outer(BaseModel):
        parts: list[Inner | None]

    schemas = {"Inner": {"properties": {"top_k": {}}}}
    describe_fields(schemas, [Outer])
    assert "description" in schemas["Inner"]["properties"]["top_k"]


def test_answers_have_a_table_of_their_own() -> None:
    class AnsweredPart(BaseModel):
        token: str

    schemas = {"AnsweredPart": {"properties": {"token": {}}}}
    describe_answers(schemas, [AnsweredPart])
    assert schemas["AnsweredPart"]["properties"]["token"] == {"description": "The token as text."}


def test_table_for_one_class_comes_before_its_docstring() -> None:
    class SpeechRequest(BaseModel):
        """`instructions` are something else."""

        instructions: str

    assert field_descriptions(SpeechRequest)["instructions"].startswith("How to speak.")
