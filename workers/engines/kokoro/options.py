"""An entry's options for Kokoro."""

from __future__ import annotations

from pydantic import Field

from workers.toolkit.speech.options import SpeechOptions


class KokoroOptions(SpeechOptions):
    """`file` is the model's file in its repository, such as `onnx/model_q8f16.onnx`.

    `threads`: CPU threads (null: all).
    """

    file: str = "onnx/model.onnx"
    threads: int | None = Field(None, ge=1)
