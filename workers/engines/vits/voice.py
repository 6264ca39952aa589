"""Speaks sentences with transformers' VITS."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import torch

from contract.errors import LoadFailed
from contract.tasks.speech import SpeechRequest
from workers.engine import Device
from workers.engines.vits.options import VitsOptions
from workers.toolkit.pretrained import Checkpoint
from workers.toolkit.speech.speaker import Sound, speakable
from workers.toolkit.speech.voices import DEFAULT, Voices


class VitsVoice:
    """A loaded model with its tokenizer."""

    speeds = (0.25, 4.0)

    def __init__(self, checkpoint: Checkpoint, device: Device, options: VitsOptions) -> None:
        self.name = checkpoint.spec.id
        self._tokenizer = checkpoint.processor("AutoTokenizer")
        self._check_tools(checkpoint.spec.source)
        self._model = checkpoint.model("AutoModelForTextToWaveform", device, options)
        config = self._model.config
        self.sample_rate: int = config.sampling_rate
        self.voices = Voices(_names(config.num_speakers), options.voices)
        self._samples_per_frame = math.prod(config.upsample_rates)

    def _check_tools(self, source: str) -> None:
        """Raises LoadFailed if a package is missing without which the tokenizer would leave out most letters."""
        if self._tokenizer.is_uroman and find_spec("uroman") is None:
            raise LoadFailed(
                f"{source} reads letters of the Roman alphabet, and uroman, which writes others in them, is missing: "
                "`.venv/bin/pip install uroman`."
            )
        if self._tokenizer.phonemize:
            if find_spec("phonemizer") is None or find_spec("espeakng_loader") is None:
                raise LoadFailed(
                    f"{source} reads phonemes, for which phonemizer and espeakng-loader are missing: `make setup "
                    "ENGINES=kokoro`."
                )
            _use_espeak()

    def check(self, request: SpeechRequest, voice: str) -> None:
        """Every request that the task accepts can be answered."""

    def unread(self, text: str) -> str:
        """The letters and digits that are not in the vocabulary."""
        if self._tokenizer.phonemize or self._tokenizer.is_uroman:
            return ""
        known, normalized = self._tokenizer.encoder, self._tokenizer.normalize
        return "".join(
            character for character in speakable(text) if (character.lower() if normalized else character) not in known
        )

    def say(self, sentence: str, voice: str, request: SpeechRequest, seed: int) -> Sound:
        """Speak one sentence, with the noise of a seed."""
        inputs = self._tokenizer(sentence, return_tensors="pt")
        count = inputs["input_ids"].shape[1]
        if count <= 1:  # a blank alone
            return Sound(np.zeros(0, np.float32), 0, 0)
        speaker = {} if voice == DEFAULT else {"speaker_id": int(voice)}
        rate = self._model.config.speaking_rate * request.speed
        torch.manual_seed(seed)  # the model draws its noise without a generator of its own
        with torch.inference_mode():
            output = self._model(**inputs.to(self._model.device), **speaker, speaking_rate=rate)
        samples = output.waveform[0].float().cpu().numpy()
        return Sound(samples, count, len(samples) // self._samples_per_frame)


def _names(speakers: int) -> list[str]:
    return [DEFAULT] if speakers <= 1 else [str(number) for number in range(speakers)]


def _use_espeak() -> None:
    """Let phonemizer find the espeak-ng that is installed with it."""
    import espeakng_loader
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
