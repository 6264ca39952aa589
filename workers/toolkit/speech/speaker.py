"""Reads texts aloud, sentence by sentence: the loop around a model that speaks one sentence.

Requests take turns: each gets its next sentence before any gets the one after, so that a long text does not keep short
ones waiting. Their sentences are not read together, because in these models a neighbour would change the sound.
"""

from __future__ import annotations

import random
from base64 import b64encode
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from contract.errors import InvalidField
from contract.tasks import EncodedResponse
from contract.tasks.speech import MEDIA_TYPES, SpeechEvent, SpeechRequest, SpeechUsage
from workers.engine import Call, Feed, Output
from workers.failures import to_serve_error
from workers.toolkit.finite import is_finite, not_finite
from workers.toolkit.speech.audio_writer import AudioWriter
from workers.toolkit.speech.options import SpeechOptions
from workers.toolkit.speech.sentences import sentences
from workers.toolkit.speech.voices import Voices

SpeechCall = Call[SpeechRequest]


@dataclass(frozen=True, slots=True)
class Sound:
    """What a model said: float32 numbers of shape (samples,), the tokens it read, and the frames that it made."""

    samples: Any
    tokens: int
    frames: int


class Speaker(Protocol):
    """A loaded model. `speeds` are the slowest and the fastest that it speaks."""

    name: str
    sample_rate: int
    voices: Voices
    speeds: tuple[float, float]

    def check(self, request: SpeechRequest, voice: str) -> None:
        """Raise InvalidField for a request that this model cannot answer."""

    def unread(self, text: str) -> str:
        """The letters and digits of a text that the model would leave out."""

    def say(self, sentence: str, voice: str, request: SpeechRequest, seed: int) -> Sound:
        """Speak one sentence. Without anything in it that the model can speak, there are no samples."""


@dataclass(slots=True)
class Utterance:
    """The speech of one call: the sentences to come, and the file that it becomes."""

    call: SpeechCall
    voice: str
    sentences: deque[str]
    writer: AudioWriter
    seed: int
    spoken: int = 0
    tokens: int = 0
    frames: int = 0
    pause: Any = field(default_factory=lambda: np.zeros(0, np.float32))

    def add(self, sound: Sound) -> bytes:
        """Add the next sentence. Returns what there is of the file since."""
        self.tokens += sound.tokens
        self.frames += sound.frames
        self.spoken += 1
        self.call.progress(self.spoken, self.spoken + len(self.sentences))
        samples = np.concatenate([self.pause, sound.samples]) if self.spoken > 1 else sound.samples
        content = self.writer.write(samples) if len(sound.samples) else b""
        return content if self.sentences else content + self.writer.end()

    def piece(self, content: bytes) -> EncodedResponse | SpeechEvent:
        """A piece of the file, in the form that the client wants."""
        if self.call.request.wants_stream:
            return SpeechEvent(type="speech.audio.delta", audio=b64encode(content).decode("ascii"))
        return EncodedResponse(media_type=MEDIA_TYPES[self.call.request.response_format], content=content)

    def last_event(self) -> SpeechEvent:
        """What the whole speech took."""
        total = self.tokens + self.frames
        usage = SpeechUsage(input_tokens=self.tokens, output_tokens=self.frames, total_tokens=total)
        return SpeechEvent(type="speech.audio.done", usage=usage)


def read_aloud(
    feed: Feed[SpeechRequest], speaker: Speaker, options: SpeechOptions
) -> Iterator[tuple[SpeechCall, Output]]:
    """The answers to calls, sentence by sentence in turns, for an engine's method with `joins`."""
    work: list[Utterance] = []
    while True:
        for call in feed.take(feed.limit - len(work)):
            try:
                work.append(_open(call, speaker, options))
            except Exception as error:  # it must not end the answers of the others
                yield call, to_serve_error(error)
        work = [utterance for utterance in work if not utterance.call.cancelled]
        if not work:
            return
        for utterance in work:
            yield from _advance(utterance, speaker)
        work = [utterance for utterance in work if utterance.sentences]


def _open(call: SpeechCall, speaker: Speaker, options: SpeechOptions) -> Utterance:
    """Begin a call. Raises InvalidField for one that the model cannot answer."""
    request = call.request
    if len(request.input) > options.max_characters:
        raise InvalidField(
            f"`input` has {len(request.input)} characters, more than the {options.max_characters} of this model's "
            "`options.max_characters`. Send it in parts.",
            param="input",
        )
    slowest, fastest = speaker.speeds
    if not slowest <= request.speed <= fastest:
        raise InvalidField(f"`speed`: {speaker.name} speaks at {slowest:g} to {fastest:g}.", param="speed")
    voice, warning = speaker.voices.find(request.voice)
    parts = sentences(request.input)
    speaker.check(request, voice)
    unread = speaker.unread(request.input)
    if unread == speakable(request.input):
        raise InvalidField(
            f"`input`: {speaker.name} can read nothing of the text. Send words, in a language that it was made for.",
            param="input",
        )
    call.warnings += [warning] if warning else []
    call.warnings += [f"`input`: the model cannot read these and left them out: {unread[:64]}"] if unread else []
    call.progress(0, len(parts))
    return Utterance(
        call,
        voice,
        deque(parts),
        AudioWriter(request.response_format, speaker.sample_rate, is_whole=len(parts) == 1),
        random.getrandbits(63) if request.seed is None else request.seed,
        pause=np.zeros(round(options.sentence_pause * speaker.sample_rate), np.float32),
    )


def speakable(text: str) -> str:
    """The different letters and digits of a text, in their order."""
    return "".join(dict.fromkeys(character for character in text if character.isalnum()))


def _advance(utterance: Utterance, speaker: Speaker) -> Iterator[tuple[SpeechCall, Output]]:
    """Speak the next sentence of a call."""
    call, number = utterance.call, utterance.spoken
    if call.cancelled:
        utterance.sentences.clear()
        return
    try:
        sentence = utterance.sentences.popleft()
        sound = speaker.say(sentence, utterance.voice, call.request, (utterance.seed + number) % 2**63)
        if not is_finite(sound.samples):
            raise not_finite(speaker.name, "sentence", number)
        content = utterance.add(sound)
    except Exception as error:  # the others go on
        utterance.sentences.clear()
        yield call, to_serve_error(error)
        return
    if content:
        yield call, utterance.piece(content)
    if not utterance.sentences:
        if call.request.wants_stream:
            yield call, utterance.last_event()
        yield call, None
