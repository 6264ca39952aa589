"""One request for each of the other servers' APIs, as their clients send it."""

from __future__ import annotations

import json
from typing import Any

from contract.sample_image import SAMPLE_IMAGE
from scripts.demo import console
from scripts.demo.environment import DemoEnvironment

REQUESTS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("Vision models server", "demo-depth", "/inference/depth-anything", {"images": [SAMPLE_IMAGE]}),
    ("Depth Anything V2 server", "demo-depth", "/rel_depth", {"image": SAMPLE_IMAGE, "encoder": "vitl"}),
    (
        "AI Inference API",
        "demo-image",
        "/infer",
        {"id": "demo", "model_id": "demo-image", "prompt": "a lake", "width": 256, "height": 256},
    ),
    ("Homelab AI Services API", "minilm", "/api/embed", {"texts": ["text1", "text2"]}),
    (
        "Vision Insight API",
        "demo-chat",
        "/v1/vision/analyze",
        {"image": SAMPLE_IMAGE, "task": "caption", "max_tokens": 8, "model": "demo-chat"},
    ),
)
"""The API, the model that answers, path and body."""
_TEXT, _ITEMS = 24, 3


def ask(demo: DemoEnvironment, path: str, body: dict[str, Any]) -> bool:
    """Send one request, and print it with its answer. Returns whether it succeeded."""
    console.line(f"POST {path} {json.dumps(shortened(body), ensure_ascii=False)}")
    response = demo.server.post(path, {**body, **demo.extra})
    console.line(f"  {response.status_code} {json.dumps(shortened(response.json()), ensure_ascii=False)}")
    return response.is_success


def shortened(value: Any) -> Any:
    """A JSON value with long texts and lists cut off."""
    if isinstance(value, str):
        return value if len(value) <= _TEXT else f"{value[:_TEXT]}…"
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [*map(shortened, value[:_ITEMS]), *(["…"] if len(value) > _ITEMS else [])]
    return round(value, 4) if isinstance(value, float) else value
