"""The models, workers and devices of the fake manager."""

from __future__ import annotations

from typing import Any

ALL_TASKS = ["chat", "embeddings", "ocr", "image-generation"]


def model(name: str, **fields: Any) -> dict[str, Any]:
    """A ModelStatus as the manager sends it."""
    return {"id": name, "engine": "fake", "tasks": ["chat"], "features": ["images"], "created": 1, **fields}


MODELS = [
    model("ok", tasks=ALL_TASKS, aliases=["fine"], presets=["pirate"], default=["chat"], max_wait=50),
    model("org/slashed", tasks=["embeddings"], features=[]),
    model("reader", tasks=["ocr"], default=["ocr"], facts={"context_length": 99}, weights_bytes=7, footprint_bytes=9),
    model("detector", tasks=["detect"], features=["prompt"]),
    model("segmenter", tasks=["segment"], features=["points"]),
    model("stream"),
    model("handshake"),
    model("dies-once"),
    model("dies-always"),
    model("dies-slowly", max_wait=0.2),
    model("dies-in-stream"),
    model("dies-in-event"),
    model("dies-in-answer"),
    model("dies-after-head"),
    model("refuses"),
    model("hangs"),
    model("hangs-in-stream"),
    model("external", engine="command", features=["*"], passthrough="gguf"),
    model("external-detector", engine="command", tasks=["detect"], features=["*"], passthrough="yolo"),
    model("external-vectors", engine="command", tasks=["embeddings"], features=["*"]),
    model("external-seer", engine="command", tasks=["chat", "ocr"], features=["*"], normalize_images=True),
    model("ends-early", engine="command", features=["*"]),
    model("segment-anything", tasks=["segment"], source="facebook/sam3", state="ready"),
    model("our-vlm", engine="transformers_chat", source="Qwen/Qwen2.5-VL-7B-Instruct", state="ready"),
]

DEVICE = {
    "id": "GPU-1", "name": "A GPU", "kind": "cuda", "total": 8 << 30, "used": 2 << 30, "foreign": 0, "budget": 6 << 30,
    "committed": 1 << 30,
}  # fmt: skip
WORKERS = [
    {"worker": f"{name}#1", "model": name, "state": "ready", "devices": ["GPU-1"], "memory_bytes": 1 << 30}
    for name in ("our-vlm", "segment-anything")
]
