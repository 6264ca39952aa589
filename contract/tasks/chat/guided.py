"""The form of an answer as vLLM, SGLang, llama.cpp and TGI ask for it, in fields of their own.

Sources: the documents "Structured Outputs" of vLLM and SGLang, the README of llama.cpp's server, and "Guidance" of TGI.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from contract.limits import Items, Text
from contract.tasks.chat.open_model import JsonObject, OpenModel

FormKind = Literal["schema", "regex", "choice", "grammar"]


def _as_schema(value: dict[str, Any] | str) -> dict[str, Any]:
    """A JSON schema that may be sent as text. An empty text asks for nothing."""
    if not value:
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"this text is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise ValueError("a JSON schema is an object")
    return value


SchemaOrText = Annotated[JsonObject | Text, AfterValidator(_as_schema)]


class StructuredOutputs(OpenModel):
    """vLLM's `structured_outputs`."""

    json_value: SchemaOrText | None = Field(None, alias="json")
    json_object: bool | None = None
    regex: Text | None = None
    choice: Items[Text] | None = None
    grammar: Text | None = None
    structural_tag: Any = None


class TypedGrammar(OpenModel):
    """TGI's `grammar`: `json` or `json_schema` with a schema, or `regex` with an expression."""

    type: Literal["json", "json_schema", "regex"]
    value: JsonObject | Text

    @model_validator(mode="after")
    def _check_value(self) -> TypedGrammar:
        if self.type != "regex":
            self.value = _as_schema(self.value)
        elif not isinstance(self.value, str):
            raise ValueError("the value of a regex is a text")
        return self


@dataclass(frozen=True, slots=True)
class GuidedForm:
    """A form that a request asks for outside of `response_format`: a schema, an expression, choices or a grammar."""

    field: str
    kind: FormKind
    content: Any


def of_structured_outputs(form: StructuredOutputs) -> list[GuidedForm]:
    """What vLLM's field asks for."""
    schema = form.json_value or ({"type": "object"} if form.json_object else None)
    contents: dict[FormKind, Any] = {
        "schema": schema,
        "regex": form.regex,
        "choice": form.choice,
        "grammar": form.grammar,
    }
    return [GuidedForm("structured_outputs", kind, content) for kind, content in contents.items() if content]


def of_grammar(grammar: TypedGrammar | str) -> GuidedForm:
    """What the field `grammar` asks for: llama.cpp's is a text, TGI's has a type."""
    if isinstance(grammar, str):
        return GuidedForm("grammar", "grammar", grammar)
    return GuidedForm("grammar", "regex" if grammar.type == "regex" else "schema", grammar.value)
