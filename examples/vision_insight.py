"""Draws an image and asks about it: python examples/vision_insight.py "a cat in space" [server] [API key]

The paths are those of the Vision Insight API: /v1/images, /v1/vision and /v1/chat. Needs `pip install httpx2`.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import httpx2


def main(prompt: str, server: str = "http://localhost:8000", api_key: str = "none") -> None:
    client = httpx2.Client(base_url=server, headers={"X-API-Key": api_key}, timeout=600)

    def post(path: str, **body: Any) -> Any:
        response = client.post(path, json=body)
        if response.is_error:
            sys.exit(f"{path}: {response.json()['error']['message']}")
        return response.json()

    drawn = post("/v1/images/generations", prompt=prompt, size="256x256", steps=4, seed=42)
    image = drawn["data"][0]["b64_json"]
    save(image, "drawn.png", drawn["usage"])

    if client.get("/v1/models", params={"task": "image-edit"}).json()["data"]:
        edited = post("/v1/images/edits", prompt="make it sunset", image=image, strength=0.7, steps=4)
        save(edited["data"][0]["b64_json"], "edited.png", edited["usage"])

    for task in ("caption", "objects"):
        print(f"{task}: {post('/v1/vision/analyze', image=image, task=task, max_tokens=64)['text']}")

    question = [
        {"type": "text", "text": "이 이미지에 뭐가 있어?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}},
    ]
    model = client.get("/v1/models", params={"task": "analyze"}).json()["data"][0]["id"]
    answer = post("/v1/chat/completions", model=model, messages=[{"role": "user", "content": question}], max_tokens=64)
    print(f"{model}: {answer['choices'][0]['message']['content']}")

    for worker in client.get("/v1/system/status").json()["workers"]:
        print(f"{worker['worker']}: {worker['state']}, {worker['memory_bytes'] / 2**20:.0f} MiB")


def save(image: str, name: str, usage: dict[str, Any]) -> None:
    Path(name).write_bytes(base64.b64decode(image))
    print(f"{name}: {usage['latency']:.1f} s, seed {usage['seed']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
