"""The form that an answer must have: free text, any JSON object, or JSON that fits a schema."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from contract.limits import Name, Text
from contract.tasks.chat.open_model import JsonObject, OpenModel


class JsonSchemaFormat(OpenModel):
    """A JSON schema with its name. `strict` promises that every answer fits it."""

    name: Name | None = None
    description: Text | None = None
    json_schema: JsonObject | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(OpenModel):
    """`text`, `json_object` or `json_schema`. Other types are kept for engines that support them.

    OpenAI puts a schema into `json_schema.schema`. Clients of other servers put it into `schema` or `value`.
    """

    type: Name
    json_schema: JsonSchemaFormat | None = None
    plain_schema: JsonObject | None = Field(None, alias="schema")
    value: Any = None

    @model_validator(mode="after")
    def _check_schema(self) -> ResponseFormat:
        if self.type == "json_schema" and self.json_schema is None and self.constraint == {"type": "object"}:
            form = '{"type": "json_schema", "json_schema": {"name": "...", "schema": {...}}}'
            raise ValueError(f"the type json_schema needs its schema: {form}")
        return self

    @property
    def constraint(self) -> dict[str, Any] | None:
        """The JSON schema that the answer must fit; None for text, and for types that only other servers know."""
        if self.type not in {"json_object", "json_schema"}:
            return None
        if self.json_schema is not None and self.json_schema.json_schema is not None:
            return self.json_schema.json_schema
        if self.plain_schema is not None:
            return self.plain_schema
        return self.value if isinstance(self.value, dict) else {"type": "object"}

    @property
    def is_strict(self) -> bool:
        """Whether the client wants an error rather than an answer that may not fit its schema."""
        return bool(self.json_schema and self.json_schema.strict)
