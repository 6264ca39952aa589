"""Libraries that only a worker with a model may import: they take seconds and hundreds of megabytes."""

MODEL_LIBRARIES = frozenset({
    "torch",
    "transformers",
    "diffusers",
    "sentence_transformers",
    "rapidocr",
    "onnxruntime",
    "mlx",
    "numpy",
    "lxml",
    "playwright",
    "trafilatura",
    "PIL",
})  # fmt: skip
