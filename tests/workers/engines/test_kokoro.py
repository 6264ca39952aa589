"""Kokoro speaks as kokoro-onnx does, with the phonemes of the voice's language."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.config import ModelSpec
from contract.errors import InvalidField, LoadFailed
from contract.tasks.speech import SPEECH, SpeechRequest
from tests.conftest import Models
from tests.support.batching import answered_together, feed_of
from workers.engine import Call, Device, Engine
from workers.registry import find_engine

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="kokoro-onnx has no release for Python 3.14 yet")
kokoro_onnx = pytest.importorskip("kokoro_onnx", reason="kokoro-onnx is not installed: make setup ENGINES=kokoro")
pytest.importorskip("onnx", reason="onnx, which builds the tiny model, is not installed")

RATE = 24_000
TEXT = "Hello there. How are you in 2026? Fine"


def load(folder: Path, **options: Any) -> Engine:
    engine = find_engine("kokoro")()
    options = {"threads": 1, "sentence_pause": 0, **options}
    engine.load(ModelSpec(id="voice", engine="kokoro", source=str(folder), options=options), Device("cpu"))
    return engine


@pytest.fixture(scope="module")
def engine(models: Models) -> Engine:
    return load(models("kokoro"), voices={"narrator": "bf_emma"})


def speak(engine: Any, *texts: str, **fields: Any) -> list[list[Any]]:
    wanted = {"response_format": "pcm", **fields}
    return answered_together(engine.answer, [SpeechRequest.model_validate({"input": text, **wanted}) for text in texts])


def sound(pieces: list[Any]) -> Any:
    *parts, end = pieces
    assert end is None
    return np.frombuffer(b"".join(part.content for part in parts), "<i2").astype(np.float32) / 2**15


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, ("af_heart", "en-us", 1.0)),
        ({"voice": "bf_emma", "speed": 0.5}, ("bf_emma", "en-gb", 0.5)),
        ({"voice": "narrator", "language": "de"}, ("bf_emma", "de", 1.0)),
        ({"voice": "alloy", "language": "FR"}, ("af_alloy", "fr-fr", 1.0)),
    ],
)
def test_sentences_are_spoken_as_by_the_library(
    engine: Engine, models: Models, tmp_path: Path, fields: dict[str, Any], wanted: tuple[str, str, float]
) -> None:
    voice, language, speed = wanted
    voices = tmp_path / "voices.npz"
    files = (models("kokoro") / "voices").glob("*.bin")
    np.savez(voices, **{file.stem: np.fromfile(file, np.float32).reshape(-1, 1, 256) for file in files})
    library = kokoro_onnx.Kokoro(str(models("kokoro") / "onnx" / "model.onnx"), str(voices))
    [pieces] = speak(engine, TEXT, **fields)
    sentences = ("Hello there.", "How are you in 2026?", "Fine")
    expected = [library.create(text, voice=voice, lang=language, speed=speed)[0] for text in sentences]
    assert len(pieces) == 3 + 1
    assert sound(pieces) == pytest.approx(np.concatenate(expected).clip(-1, 1), abs=1e-4)


def test_answers_do_not_depend_on_their_neighbours(engine: Engine) -> None:
    texts = (TEXT, "One. Two", "A longer text, all in one")
    alone = [sound(speak(engine, text)[0]) for text in texts]
    for one, other in zip(alone, speak(engine, *texts), strict=True):
        assert np.array_equal(one, sound(other))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"speed": 3}, "speed"),
        ({"language": "xx"}, "language"),
        ({"voice": "alice"}, "voice"),
        ({"input": "!"}, "input"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(engine: Any, fields: dict[str, Any], param: str) -> None:
    call = Call(SpeechRequest.model_validate({"input": "Hello", **fields}))
    [(_, error)] = engine.answer(feed_of([call]))
    assert isinstance(error, InvalidField)
    assert error.param == param


def test_seed_needs_a_feature_that_it_lacks(engine: Engine) -> None:
    request = SPEECH.request.model_validate({"input": "Hello", "seed": 1, "language": "de"})
    assert {feature for _, feature in request.requirements()} - engine.loaded_features() == {"seed"}


def test_reads_the_files_of_kokoro_onnx_releases(models: Models, tmp_path: Path, engine: Engine) -> None:
    shutil.copy(models("kokoro") / "onnx" / "model.onnx", tmp_path / "kokoro-v1.0.onnx")
    voice = np.fromfile(models("kokoro") / "voices" / "af_alloy.bin", np.float32).reshape(-1, 1, 256)
    with (tmp_path / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, af_alloy=voice)
    released = load(tmp_path)
    assert released.facts().voices == ["af_alloy"]
    assert np.array_equal(sound(speak(released, "Hello")[0]), sound(speak(engine, "Hello", voice="af_alloy")[0]))


def test_folder_without_voices_or_model_is_refused(models: Models, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="no voices"):
        load(tmp_path)
    shutil.copytree(models("kokoro") / "voices", tmp_path / "voices")
    with pytest.raises(LoadFailed, match=r"onnx/model\.onnx.*options\.file"):
        load(tmp_path)
