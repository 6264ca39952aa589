"""The multipart form of a task's request: which of its fields are uploads, and the form's JSON schema."""

from __future__ import annotations

import typing
from typing import Any

from pydantic import BaseModel

from contract.audio import AudioInput
from contract.media import ImageInput
from contract.tasks.vision import VisionRequest

BYTES = {"type": "string", "format": "binary"}
"""The schema of a file."""
_KINDS: dict[Any, str] = {ImageInput: "image", AudioInput: "audio"}


def form_schema(request: type[BaseModel]) -> dict[str, Any] | None:
    """The schema of a task's form: images and audio are uploads, all else is text. None without uploads."""
    kinds = uploads(request)
    if not kinds:
        return None
    properties: dict[str, Any] = {name: {"type": "string"} for name in request.model_fields}
    for name in kinds:
        properties[name] = {"type": "array", "items": BYTES} if takes_several(request, name) else dict(BYTES)
    return {"type": "object", "properties": properties}


def uploads(request: type[BaseModel]) -> dict[str, str]:
    """The fields that are files in a form, each with its kind: `image` or `audio`."""
    kinds = ((name, _kind(field.annotation)) for name, field in request.model_fields.items())
    return {name: kind for name, kind in kinds if kind}


def takes_several(request: type[BaseModel], name: str) -> bool:
    """Whether a field takes a list of files that may have more than one."""
    takes_one = issubclass(request, VisionRequest) and request.one_image
    return not takes_one and _has_list(request.model_fields[name].annotation)


def _has_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is list or any(map(_has_list, typing.get_args(annotation)))


def _kind(annotation: Any) -> str | None:
    if not typing.get_args(annotation):
        return _KINDS.get(annotation) if isinstance(annotation, type) else None
    return next((kind for part in typing.get_args(annotation) if (kind := _kind(part))), None)
