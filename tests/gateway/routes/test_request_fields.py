"""Every field of every request: what it means, what happens without it, and which numbers it takes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from scripts.check import api_document
from tests.support.gateway_processes import GatewayProcess

Schema = dict[str, Any]

ENDLESS = {
    "keep_alive": "any duration; a negative one means for ever",
    "seed": "any whole number",
    "dimensions": "the model's vectors are the upper end",
    "output_dimension": "the model's vectors are the upper end",
    "max_tokens": "the model's context is the upper end",
    "max_completion_tokens": "the model's context is the upper end",
    "max_output_tokens": "the model's context is the upper end",
    "max_tokens_per_doc": "the model's context is the upper end",
    "min_tokens": "the model's context is the upper end",
    "num_predict": "the model's context is the upper end",
    "budget_tokens": "it has no effect but a warning",
    "top_k": "the model's vocabulary is the upper end",
    "top_n": "the number of documents is the upper end",
    "max_detections": "the number of objects is the upper end",
    "max_depth": "a depth in metres has no upper end",
    "fx": "any camera's", "fy": "any camera's", "cx": "any camera's", "cy": "any camera's",
    "score": "another model's",
    "image": "the number of images is the upper end",
    "seconds": "a time without an upper end",
    "expires_after[seconds]": "a time without an upper end",
    "since": "a number that only grows", "before": "a number that only grows", "after": "a number that only grows",
    "frame_count": "it is refused", "frame_duration_ms": "it is refused", "partial_images": "it is refused",
}  # fmt: skip
"""Numbers without a range, or with one end of it, and why."""

LET_THROUGH = ("only ", "follow from", "the batches after", "the files after", "the items after")
"""How filters of lists begin: without them, all pass."""


@dataclass(frozen=True)
class Field:
    place: str
    name: str
    schema: Schema
    description: str
    required: bool
    of_form: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.name}"


class Inputs:
    """The fields of all requests of the API document."""

    def __init__(self, document: Schema) -> None:
        self.document, self.parts = document, document["components"]["schemas"]
        self._seen: set[str] = set()

    def fields(self) -> Iterator[Field]:
        self._seen.clear()
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                place = f"{method} {path}"
                for parameter in operation.get("parameters", ()):
                    text = parameter.get("description", "")
                    yield Field(place, parameter["name"], parameter["schema"], text, bool(parameter.get("required")))
                for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                    yield from self._within(content.get("schema", {}), place, "form" in kind)

    def resolved(self, schema: Schema) -> Schema:
        name = schema.get("$ref", "").rpartition("/")[2]
        return self.parts[name] if name else schema

    def numbers(self, schema: Schema) -> Iterator[Schema]:
        """The forms of a field that are numbers."""
        for form in (self.resolved(schema), *(self.resolved(form) for form in schema.get("anyOf", ()))):
            if form.get("type") in {"number", "integer"}:
                yield form

    def _within(self, schema: Schema, place: str, of_form: bool) -> Iterator[Field]:
        if reference := schema.get("$ref"):
            place = reference.rpartition("/")[2]
            if place in self._seen:
                return
            self._seen.add(place)
        schema = self.resolved(schema)
        for name, field in schema.get("properties", {}).items():
            text = field.get("description") or self.resolved(field).get("description", "")
            yield Field(place, name, field, text, name in schema.get("required", ()), of_form)
            yield from self._within(field, place, of_form)
        for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
            yield from self._within(part, place, of_form)
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                yield from self._within(schema[key], place, of_form)


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return Inputs(json.loads(api_document.current()))


def test_every_field_is_described(inputs: Inputs) -> None:
    fields = list(inputs.fields())
    assert len(fields) > 500
    assert [str(field) for field in fields if len(field.description) < 8] == []


def test_what_happens_without_a_field_is_said(inputs: Inputs) -> None:
    unsaid = [
        field
        for field in inputs.fields()
        if not (field.required or field.of_form or {"default", "const"} & field.schema.keys())
        and not (field.description.startswith(LET_THROUGH) or "without it" in field.description)
    ]
    assert [f"{field} ({field.description})" for field in unsaid] == []


def test_numbers_have_a_range_or_a_reason_for_none(inputs: Inputs) -> None:
    open_ended = {
        str(field): form
        for field in inputs.fields()
        for form in inputs.numbers(field.schema)
        if field.name not in ENDLESS
        and not ({"minimum", "exclusiveMinimum"} & form.keys() and {"maximum", "exclusiveMaximum"} & form.keys())
    }
    assert open_ended == {}


def beyond(form: Schema) -> Iterator[tuple[float, float]]:
    """Numbers outside of a field's range, each with the end that it is beyond."""
    if "minimum" in form:
        yield form["minimum"] - 1, form["minimum"]
    if "exclusiveMinimum" in form:
        yield form["exclusiveMinimum"], form["exclusiveMinimum"]
    if "maximum" in form:
        yield form["maximum"] + 1, form["maximum"]
    if "exclusiveMaximum" in form:
        yield form["exclusiveMaximum"], form["exclusiveMaximum"]


def test_numbers_out_of_range_are_refused_by_name(inputs: Inputs, gateway: GatewayProcess) -> None:
    tried, wrong = 0, []
    for path, operations in inputs.document["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        properties = inputs.resolved(content.get("schema", {})).get("properties", {})
        for name, field, value, end in _misfits(inputs, properties):
            tried += 1
            reply = gateway.http.post(path, json={**content["example"], **field})
            if not (reply.status_code == 400 and name in reply.text and _written(end) in reply.text):
                wrong.append(f"{path} {name}={value}: {reply.status_code} {reply.text[:200]}")
    assert tried > 150
    assert wrong == []


def _misfits(inputs: Inputs, properties: Schema) -> Iterator[tuple[str, Schema, float, float]]:
    """The fields of a request, and of objects in it that require no other field, with numbers out of range."""
    for name, schema in properties.items():
        for form in inputs.numbers(schema):
            for value, end in beyond(form):
                yield name, {name: value}, value, end
        for part in map(inputs.resolved, (schema, *schema.get("anyOf", ()))):
            if part.get("properties") and not part.get("required"):
                for inner, field, value, end in _misfits(inputs, part["properties"]):
                    yield f"{name}.{inner}", {name: field}, value, end


@pytest.mark.parametrize("path", ["/jobs", "/v1/batches", "/v1/files", "/v1/system/requests"])
def test_pages_of_lists_have_the_size_that_is_documented(path: str, inputs: Inputs, gateway: GatewayProcess) -> None:
    parameters = {item["name"]: item["schema"] for item in inputs.document["paths"][path]["get"]["parameters"]}
    limit = parameters["limit"]
    for size in (limit["minimum"] - 1, limit["maximum"] + 1, f"00{limit['maximum'] * 10}", "x"):
        reply = gateway.http.get(path, params={"limit": size})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "limit"), size
    for size in (limit["minimum"], limit["default"], limit["maximum"]):
        assert gateway.http.get(path, params={"limit": size}).status_code == 200, size


def _written(number: float) -> str:
    return str(int(number)) if math.isfinite(number) and number == int(number) else str(number)
