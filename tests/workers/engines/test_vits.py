"""VITS speaks as transformers does, alone and beside others, sentence by sentence."""

from __future__ import annotations

import base64
import json
import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.config import ModelSpec
from contract.errors import EngineFailed, InvalidField, LoadFailed
from contract.tasks import EncodedResponse
from contract.tasks.speech import SpeechEvent, SpeechRequest
from tests.conftest import Models
from tests.support.batching import answered_together, feed_of
from workers.engine import Call, Device, Engine
from workers.registry import find_engine

RATE = 16_000
TEXT = "Hello there. How are you? Fine"

Library = Callable[..., Any]


def load(folder: Path, **options: Any) -> Engine:
    engine = find_engine("vits")()
    options = {"threads": 1, "sentence_pause": 0, **options}
    engine.load(ModelSpec(id="voice", engine="vits", source=str(folder), options=options), Device("cpu", "bfloat16"))
    return engine


@pytest.fixture(scope="module")
def engine(models: Models) -> Engine:
    return load(models("vits"))


@pytest.fixture(scope="module")
def speakers(models: Models) -> Engine:
    return load(models("vits_speakers"), voices={"nova": "2"})


@pytest.fixture(scope="module")
def library(models: Models) -> Library:
    """The waveform of one sentence, as transformers makes it."""
    import torch
    from transformers import AutoTokenizer, VitsModel, set_seed

    def speak(family: str, text: str, seed: int, speed: float = 1, **fields: Any) -> Any:
        model = VitsModel.from_pretrained(models(family))
        inputs = AutoTokenizer.from_pretrained(models(family))(text, return_tensors="pt")
        set_seed(seed)
        with torch.no_grad():
            return model(**inputs, speaking_rate=model.config.speaking_rate * speed, **fields).waveform[0].numpy()

    return speak


def request(text: str = TEXT, **fields: Any) -> SpeechRequest:
    return SpeechRequest.model_validate({"input": text, "response_format": "wav", "seed": 7, **fields})


def outputs(engine: Any, *requests: SpeechRequest) -> list[list[Any]]:
    """What the engine yields for each of several requests, all answered together."""
    return answered_together(engine.answer, requests)


def sound(pieces: list[Any]) -> Any:
    """The samples of a WAV file in pieces."""
    *parts, end = pieces
    assert end is None
    content = b"".join(part.content for part in parts)
    return np.frombuffer(content[content.index(b"data") + 8 :], "<i2").astype(np.float32) / 2**15


def test_sentences_are_spoken_as_by_the_library(engine: Engine, library: Library) -> None:
    [pieces] = outputs(engine, request())
    expected = [library("vits", text, 7 + n) for n, text in enumerate(("Hello there.", "How are you?", "Fine"))]
    assert len(pieces) == 3 + 1
    assert sound(pieces) == pytest.approx(np.concatenate(expected).clip(-1, 1), abs=1e-4)


def test_speed_and_voice_are_those_of_the_library(speakers: Engine, library: Library) -> None:
    for fields, wanted in (({"speed": 0.5}, {"speed": 0.5, "speaker_id": 0}), ({"voice": "1"}, {"speaker_id": 1}),
                           ({"voice": "nova", "speed": 2}, {"speaker_id": 2, "speed": 2})):  # fmt: skip
        [pieces] = outputs(speakers, request("hello there", **fields))
        expected = library("vits_speakers", "hello there", 7, **wanted)
        assert sound(pieces) == pytest.approx(expected.clip(-1, 1), abs=1e-4)


def test_answers_do_not_depend_on_their_neighbours(engine: Engine) -> None:
    requests = [request(text, seed=seed) for seed, text in enumerate((TEXT, "one. two", "a longer text, all in one"))]
    alone = [b"".join(part.content for part in outputs(engine, one)[0][:-1]) for one in requests]
    together = outputs(engine, *requests)
    assert [b"".join(part.content for part in pieces[:-1]) for pieces in together] == alone


def test_requests_take_turns_and_new_ones_join(engine: Any) -> None:
    long, late = Call(request("one. Two. Three. Four")), Call(request("late"))
    waiting = deque([long])
    order = []
    for call, output in engine.answer(feed_of(waiting)):
        if not order:
            waiting.append(late)
        order.append((call is late, output is None))
    assert order.index((True, True)) < order.index((False, True))


def test_same_seed_makes_the_same_speech(engine: Engine) -> None:
    contents = [outputs(engine, request("hello", seed=seed))[0][0].content for seed in (1, 1, 2, None, None)]
    assert contents[0] == contents[1]
    assert len(set(contents)) == 4


def test_events_hold_the_same_file_and_its_usage(engine: Engine) -> None:
    [pieces], [events] = (
        outputs(engine, request(response_format="pcm", stream_format=form)) for form in ("audio", "sse")
    )
    *deltas, done, end = events
    assert end is None
    assert all(isinstance(piece, EncodedResponse) for piece in pieces[:-1])
    assert all(isinstance(event, SpeechEvent) for event in events[:-1])
    assert b"".join(base64.b64decode(delta.audio) for delta in deltas) == b"".join(p.content for p in pieces[:-1])
    assert (done.type, deltas[0].type) == ("speech.audio.done", "speech.audio.delta")
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens
    assert done.usage.input_tokens == sum(2 * count + 1 for count in (11, 11, 4))  # letters with a blank around each


def test_pause_is_silence_between_sentences(models: Models) -> None:
    [pieces] = outputs(load(models("vits"), sentence_pause=0.5), request("one. Two"))
    [without] = outputs(load(models("vits")), request("one. Two"))
    assert len(sound(pieces)) - len(sound(without)) == 0.5 * RATE


def test_letters_that_the_model_lacks_are_warned_of(engine: Any) -> None:
    call = Call(request("Room 101, Café"))
    assert list(engine.answer(feed_of([call])))
    assert call.warnings == ["`input`: the model cannot read these and left them out: 10é"]


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"input": "42"}, "input", "can read nothing"),
        ({"input": "...!"}, "input", "can read nothing"),
        ({"input": "a" * 101}, "input", "options.max_characters"),
        ({"voice": "alice"}, "voice", "Its voices: default"),
    ],
)
def test_what_cannot_be_read_is_refused_alone(models: Models, fields: Any, param: str, sentence: str) -> None:
    engine = load(models("vits"), max_characters=100)
    [[error], pieces] = outputs(engine, request(**{"text": "hello", **fields}), request("hello"))
    assert isinstance(error, InvalidField), error
    assert error.param == param
    assert sentence in error.message
    assert len(sound(pieces))


def test_cancelled_calls_get_no_more_sentences(engine: Any) -> None:
    call = Call(request("one. Two. Three. Four"))
    answers = engine.answer(feed_of([call]))
    next(answers)
    call.cancel()
    assert list(answers) == []


def test_weights_that_are_no_numbers_are_an_error(models: Models) -> None:
    engine: Any = load(models("vits"))
    engine._voice._model.decoder.conv_post.weight.data.fill_(float("nan"))
    [[error]] = outputs(engine, request("hello"))
    assert isinstance(error, EngineFailed)
    assert "not numbers" in error.message


def test_names_its_voices(engine: Engine, speakers: Engine) -> None:
    assert engine.facts().voices == ["default"]
    assert speakers.facts().voices == ["0", "1", "2", "nova"]


@pytest.mark.parametrize(("setting", "package"), [("is_uroman", "uroman"), ("phonemize", "phonemizer")])
def test_tokenizer_without_its_package_is_refused(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, package: str
) -> None:
    folder = shutil.copytree(models("vits"), tmp_path / "voice")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, setting: True}))
    monkeypatch.setattr("workers.engines.vits.voice.find_spec", lambda _: None)
    with pytest.raises(LoadFailed, match=f"{package}.*(missing|make setup)"):
        load(folder)
