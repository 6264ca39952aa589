"""Types of texts and lists in requests, with their limits. Validation of a list ends with its first wrong item."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import Field

T = TypeVar("T")

MAX_TEXT = 10 * 2**20
"""Characters of a prompt, a message, or another text for a model."""
MAX_NAME = 512
"""Characters of a name: a model, a label of a setting, a user."""
MAX_ITEMS = 4096
"""Items of a list that has no smaller limit, such as the messages of a chat."""

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Name = Annotated[str, Field(max_length=MAX_NAME)]
Items = Annotated[list[T], Field(max_length=MAX_ITEMS, fail_fast=True)]
"""`Items[X]` is a list of X. Without `fail_fast`, every wrong item would add its errors: gigabytes for a small body."""
