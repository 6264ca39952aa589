"""The request examples that other servers' documentation prints, and what stands for their placeholders."""

from __future__ import annotations

import io
import json
from typing import Any

from contract.media import data_uri
from tests.support.odd_images import drawing, encoded


def jpeg() -> bytes:
    """A photo of some shapes, 80x60."""
    out = io.BytesIO()
    drawing().save(out, "JPEG", quality=95)
    return out.getvalue()


IMAGE = data_uri(encoded(drawing())).partition(",")[2]
"""Base64 of a PNG file, 80x60."""

PLACEHOLDERS = {
    "base64_encoded_cv2_bgr_image": IMAGE,
    "base64_image_here": IMAGE,
    "base64_string_here": IMAGE,
    "image_b64": IMAGE,
}
"""What is sent in place of each placeholder."""


def as_printed(text: str) -> Any:
    """A printed JSON example as a body: only its placeholders are replaced."""
    return _replaced(json.loads(text))


def _replaced(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    return PLACEHOLDERS.get(value, value) if isinstance(value, str) else value


DEPTH_SERVER = {
    "/pc": """{
  "image": "base64_encoded_cv2_bgr_image",
  "camera_intrinsics": {
    "fx": 1000.0,
    "fy": 1000.0,
    "cx": 640.0,
    "cy": 480.0
  },
  "max_depth": 1.0,
  "encoder": "vitl",
  "dataset": "hypersim",
  "model_input_size": 518
}""",
    "/metric_depth": """{
  "image": "base64_encoded_cv2_bgr_image",
  "max_depth": 1.0,
  "encoder": "vitl",
  "dataset": "hypersim",
  "model_input_size": 518
}""",
    "/rel_depth": """{
  "image": "base64_encoded_cv2_bgr_image",
  "encoder": "vitl",
  "dataset": "hypersim",
  "model_input_size": 518
}""",
}
"""A Depth Anything V2 server's requests, by path."""

INFERENCE_API: dict[str, Any] = {
    "id": "unique-request-id",
    "prompt": "A beautiful landscape with mountains and a lake",
    "negative_prompt": "blurry, low quality",
    "num_inference_steps": 30,
    "guidance_scale": 7.5,
    "width": 512,
    "height": 512,
    "seed": 42,
    "num_images": 1,
}
"""The AI Inference API's request, without the `model_id`, which is the hash of a file."""

VISION_SERVER = {
    "load": """{"model_type": "sam3", "device": "cuda"}""",
    "sam3": """{
        "images": ["image_b64"],
        "prompts": ["person"],
        "threshold": 0.5
    }""",
    "sam3 rle": """{
    "images": ["base64_image_here"],
    "prompts": ["person", "car"],
    "threshold": 0.5,
    "output_format": "rle"
  }""",
    "sam3 polygons": """{
    "images": ["base64_image_here"],
    "prompts": ["person"],
    "threshold": 0.5,
    "output_format": "polygons"
  }""",
    "sam3 dense": """{
        "images": ["image_b64"],
        "prompts": ["person", "car"],
        "threshold": 0.5,
        "output_format": "dense"
    }""",
    "grounding-dino": """{
        "images": ["image_b64"],
        "prompts": ["person", "car", "traffic light"],
        "box_threshold": 0.4,
        "text_threshold": 0.3
    }""",
    "depth-anything": """{
        "images": ["image_b64"],
        "export_format": "glb"
    }""",
    "dinov3": """{
        "images": ["image_b64"]
    }""",
}
"""A vision models server's requests."""
