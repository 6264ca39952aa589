"""Types of texts and lists in requests, with their limits. Validation of a list ends with its first wrong item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

T = TypeVar("T")

MAX_TEXT = 10 * 2**20
"""Characters of a prompt, a message, or another text for a model."""
MAX_WIDE = 4 * 2**20
"""Characters of all texts of a request that have characters beyond ASCII: they take up to four bytes each, and
libraries convert them as a whole."""
MAX_NAME = 512
"""Characters of a name: a model, a label of a setting, a user."""
MAX_ITEMS = 4096
"""Items of a list that has no smaller limit, such as the messages of a chat."""


@dataclass(frozen=True, slots=True)
class MaxLength:
    """Limits the characters of a text, like `Field(max_length=...)`, which would convert the whole text to UTF-8: of
    millions of characters, for tens of milliseconds in which no other thread runs."""

    limit: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "maxLength": self.limit}

    def _checked(self, text: str) -> str:
        if len(text) > self.limit:
            raise PydanticKnownError("string_too_long", {"max_length": self.limit})
        return text


Text = Annotated[str, MaxLength(MAX_TEXT)]
Name = Annotated[str, MaxLength(MAX_NAME)]
Items = Annotated[list[T], Field(max_length=MAX_ITEMS, fail_fast=True)]
"""`Items[X]` is a list of X. Without `fail_fast`, every wrong item would add its errors: gigabytes for a small body."""
