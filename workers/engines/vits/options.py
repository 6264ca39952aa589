"""An entry's options for VITS."""

from __future__ import annotations

from workers.toolkit.pretrained import TorchOptions
from workers.toolkit.speech.options import SpeechOptions


class VitsOptions(TorchOptions, SpeechOptions):
    """The voices of a model with several are numbers: `voices: {alloy: "3"}`."""
