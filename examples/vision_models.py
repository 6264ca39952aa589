"""Segments, detects, measures and embeds one image: python examples/vision_models.py street.png [server]

The paths are those of a vision models server: /inference/… and /models/…. Needs `pip install httpx2`.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import httpx2


class VisionModels:
    """A client of the four models."""

    def __init__(self, base_url: str) -> None:
        self.http = httpx2.Client(base_url=base_url, timeout=600)  # a model is loaded when it is first needed

    def post(self, path: str, **body: Any) -> Any:
        response = self.http.post(path, json=body)
        if response.is_error:
            sys.exit(f"{path}: {response.json()['error']['message']}")
        return response.json()


def main(path: str, server: str = "http://localhost:8000") -> None:
    client = VisionModels(server)
    image = base64.b64encode(Path(path).read_bytes()).decode()
    print("health:", client.http.get("/health").json()["status"])
    print(client.post("/models/load", model_type="sam3")["message"])

    masks = client.post("/inference/sam3", images=[image], prompts=["person"], threshold=0.5, output_format="polygons")
    for found in masks["results"][0]:
        print(f"sam3: {found['prompt']}, {len(found['result']['scores'])} masks")

    boxes = client.post("/inference/grounding-dino", images=[image], prompts=["person", "car"], box_threshold=0.4)
    for label, box in zip(boxes["results"][0]["labels"], boxes["results"][0]["boxes"], strict=True):
        print(f"grounding-dino: {label} at {[round(x) for x in box]}")

    depth = client.post("/inference/depth-anything", images=[image])
    Path("depth.png").write_bytes(base64.b64decode(depth["depth_data"]))
    print(f"depth-anything: depth.png, {depth['metadata']['shape']}")

    features = client.post("/inference/dinov3", images=[image], encoding_format="base64")["features"]
    print(f"dinov3: {features['last_hidden_state_shape']}")

    for name, info in client.http.get("/models/status").json()["models"].items():
        print(f"{name}: {'loaded' if info['loaded'] else 'not loaded'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
