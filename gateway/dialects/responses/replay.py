"""The events of a response that is stored whole, as if it were streamed: each text comes in one piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

JsonDocument = dict[str, Any]
"""A response, an item of it, or an event, as JSON."""

_BEFORE_THE_END: JsonDocument = {
    "output": [], "usage": None, "error": None, "incomplete_details": None, "completed_at": None,
}  # fmt: skip
_UNFINISHED = ("queued", "in_progress")


def events_of(response: JsonDocument) -> Iterator[JsonDocument]:
    """The events so far, with their sequence numbers. Those of a response that goes on are the first of all."""
    for number, event in enumerate(_events(response)):
        yield {"type": event.pop("type"), "sequence_number": number, **event}


def _events(response: JsonDocument) -> Iterator[JsonDocument]:
    status, first = response["status"], "queued" if response["background"] else "in_progress"
    yield _lifecycle("created", {**response, **_BEFORE_THE_END, "status": first})
    if first == "queued":
        yield _lifecycle("queued", {**response, **_BEFORE_THE_END, "status": first})
    if status == "queued":
        return
    yield _lifecycle("in_progress", {**response, **_BEFORE_THE_END, "status": "in_progress"})
    if status in _UNFINISHED:
        return
    for index, item in enumerate(response["output"]):
        yield from _of_item(index, item)
    # The API has no event for a response that was cancelled; its status says so.
    yield _lifecycle("incomplete" if status == "cancelled" else status, response)


def _of_item(index: int, item: JsonDocument) -> Iterator[JsonDocument]:
    place = {"item_id": item["id"], "output_index": index}
    if item["type"] == "function_call":
        begun, text = {**item, "status": "in_progress", "arguments": ""}, item["arguments"]
        yield _event("output_item.added", output_index=index, item=begun)
        yield _event("function_call_arguments.delta", delta=text, **place)
        yield _event("function_call_arguments.done", arguments=text, name=item["name"], **place)
    else:
        yield _event("output_item.added", output_index=index, item={**item, "status": "in_progress", "content": []})
        for number, part in enumerate(item["content"]):
            yield from _of_part(part, {**place, "content_index": number})
    yield _event("output_item.done", output_index=index, item=item)


def _of_part(part: JsonDocument, place: JsonDocument) -> Iterator[JsonDocument]:
    reported = {"logprobs": part["logprobs"]} if part["type"] == "output_text" else {}
    empty = {**part, "text": "", **({"logprobs": []} if reported else {})}
    yield _event("content_part.added", part=empty, **place)
    yield _event(f"{part['type']}.delta", delta=part["text"], **place, **reported)
    yield _event(f"{part['type']}.done", text=part["text"], **place, **reported)
    yield _event("content_part.done", part=part, **place)


def _lifecycle(name: str, response: JsonDocument) -> JsonDocument:
    return _event(name, response=response)


def _event(name: str, /, **fields: Any) -> JsonDocument:
    return {"type": f"response.{name}", **fields}
