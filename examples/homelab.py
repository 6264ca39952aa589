"""Describes an image, reads its text, and reads a web page: python examples/homelab.py IMAGE [server] [URL]

The paths are those of the Homelab AI Services API, below /api. Needs `pip install httpx2`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx2


def read(response: httpx2.Response) -> Any:
    """The answer. An error ends the program with its upper-case code."""
    if response.is_error:
        error = response.json()["error"]
        sys.exit(f"{error['code']}: {error['message']} (request {error['request_id']})")
    return response.json()


def main(image: str, server: str = "http://localhost:8000", page: str = "") -> None:
    with httpx2.Client(base_url=server, timeout=600) as client:
        for model in read(client.get("/api/models/caption"))["models"]:
            if model["configured"]:
                print(f"{model['configured']}: {model['name']}, {'' if model['downloaded'] else 'not '}downloaded")

        file = {"image": (Path(image).name, Path(image).read_bytes())}
        caption = read(client.post("/api/caption", files=file))
        print(f"caption: {caption['caption']!r} by {caption['model_used']}, {caption['processing_time_ms']} ms")
        text = read(client.post("/api/ocr", files=file))["text"]
        print(f"text: {text!r}")

        embedded = read(client.post("/api/embed", json={"texts": [caption["caption"], text or "no text"]}))
        print(f"embeddings: {len(embedded['embeddings'])} of {embedded['dimensions']} numbers")

        if page:
            crawled = read(client.post("/api/crawl", json={"url": page, "wait_for_js": True}))
            print(f"page: {crawled['title']!r}, {len(crawled['text'])} characters, {crawled['fetch_time_ms']} ms")
        print("loaded:", ", ".join(read(client.get("/api/status"))["models_loaded"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
