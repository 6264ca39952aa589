"""An entry's options for VITS."""

from __future__ import annotations

from workers.toolkit.pretrained import TorchOptions
from workers.toolkit.speech.options import SpeechOptions


class VitsOptions(TorchOptions, SpeechOptions):
    """`voices` gives voices of the model further names, such as `{alloy: "3"}`, and `default` is the name for requests
    without one. `max_characters` limits a text. `sentence_pause`: seconds of silence between two sentences.
    """
