"""Draws with a checkpoint in the folder ai-models: python examples/inference.py "a lake" [server] [API key]

The paths are those of the AI Inference API: /v1/models and /v1/infer. Needs `pip install httpx2`.
"""

from __future__ import annotations

import base64
import sys
import uuid
from pathlib import Path

import httpx2


def main(prompt: str, server: str = "http://localhost:8000", api_key: str = "none") -> None:
    headers = {"Authorization": f"Bearer {api_key}"}
    with httpx2.Client(base_url=server, headers=headers, timeout=600) as client:
        checkpoints = [model for model in client.get("/v1/models").json()["models"] if model.get("extension")]
        if not checkpoints:
            sys.exit("Copy a .safetensors or .ckpt file into the folder ai-models first.")
        for model in checkpoints:
            print(f"{model['id'][:12]}…  {model['name']}  {model['size'] / 1e9:.1f} GB")

        response = client.post(
            "/v1/infer",
            json={
                "id": str(uuid.uuid4()),
                "model_id": checkpoints[0]["id"],
                "prompt": prompt,
                "negative_prompt": "blurry, low quality",
                "width": 256,
                "height": 256,
                "num_images": 2,
            },
        )
    answer = response.json()
    if response.is_error:
        sys.exit(answer["error"]["message"])
    for number, image in enumerate(answer["images"]):
        path = Path(f"image-{number}.png")
        path.write_bytes(base64.b64decode(image["base64"]))
        print(f"{path}: {image['width']}x{image['height']}, seed {image['seed']}")
    print(f"{answer['processing_time']:.1f} s, {answer['num_inference_steps']} steps")


if __name__ == "__main__":
    main(*sys.argv[1:])
