"""Kokoro with MLX speaks as mlx-audio does, with the phonemes of the voice's language."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.config import ModelSpec
from contract.errors import EngineFailed, InvalidField, LoadFailed
from contract.tasks.speech import SPEECH, SpeechRequest
from tests.conftest import Models
from tests.support.batching import answered_together, feed_of
from workers.engine import Call, Device, Engine
from workers.registry import find_engine

pytestmark = [
    pytest.mark.e2e,  # a sentence takes seconds, as the library fixes the widths of most layers
    pytest.mark.skipif(sys.version_info >= (3, 14), reason="kokoro-onnx has no release for Python 3.14 yet"),
]
TEXT = "Hello. Fine"


def load(folder: Path, **options: Any) -> Engine:
    engine = find_engine("mlx_kokoro")()
    spec = ModelSpec(id="voice", engine="mlx_kokoro", source=str(folder), options=options)
    engine.load(spec, Device("cpu", "float32"))
    return engine


@pytest.fixture(scope="module")
def engine(models: Models) -> Engine:
    return load(models("mlx_kokoro"), voices={"narrator": "bf_emma"})


def speak(engine: Any, *texts: str, **fields: Any) -> list[list[Any]]:
    wanted = {"response_format": "pcm", "seed": 7, **fields}
    return answered_together(engine.answer, [SpeechRequest.model_validate({"input": text, **wanted}) for text in texts])


def sound(pieces: list[Any]) -> Any:
    *parts, end = pieces
    assert end is None
    return np.frombuffer(b"".join(part.content for part in parts), "<i2").astype(np.float32) / 2**15


def library(engine: Any, folder: Path, phonemes: str, voice: str, seed: int, speed: float = 1) -> Any:
    """The samples of a sentence, as the library's own pipeline has the model speak it."""
    import mlx.core as mx
    from mlx_audio.tts.models.kokoro.pipeline import KokoroPipeline
    from mlx_audio.tts.models.kokoro.voice import load_voice_tensor

    style = load_voice_tensor(str(folder / "voices" / f"{voice}.safetensors"))
    mx.random.seed(seed)
    return np.array(KokoroPipeline.infer(engine._voice._model, phonemes, style, speed).audio).reshape(-1)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, ("af_heart", "en-us", 1)),
        ({"voice": "narrator", "language": "de", "speed": 2}, ("bf_emma", "de", 2)),
    ],
    ids=["default", "german"],
)
def test_sentences_are_spoken_as_by_the_library(
    engine: Engine, models: Models, fields: dict[str, Any], wanted: tuple[str, str, float]
) -> None:
    from kokoro_onnx.tokenizer import Tokenizer

    voice, language, speed = wanted
    [pieces] = speak(engine, TEXT, **fields)
    phonemes = [Tokenizer().phonemize(text, language) for text in ("Hello.", "Fine")]
    expected = [library(engine, models("mlx_kokoro"), one, voice, 7 + n, speed) for n, one in enumerate(phonemes)]
    assert len(pieces) == 2 + 1
    assert sound(pieces) == pytest.approx(np.concatenate(expected).clip(-1, 1), abs=1e-4)
    assert np.abs(sound(pieces)).max() > 0.01


def test_answers_do_not_depend_on_their_neighbours(engine: Engine) -> None:
    texts = ("Hello", "One. Two")
    alone = [sound(speak(engine, text)[0]) for text in texts]
    for one, other in zip(alone, speak(engine, *texts), strict=True):
        assert np.array_equal(one, sound(other))
    assert not np.array_equal(sound(speak(engine, "Hello", seed=8)[0]), alone[0])


def test_long_sentence_is_spoken_in_parts(engine: Engine) -> None:
    [[*_, done, end]] = speak(engine, "one and two and three and four and five and six and seven", stream_format="sse")
    assert end is None
    assert done.usage.input_tokens > 62
    assert done.usage.output_tokens > 62


@pytest.mark.parametrize(
    ("fields", "param"), [({"language": "xx"}, "language"), ({"voice": "alice"}, "voice"), ({"input": "!"}, "input")]
)
def test_what_it_cannot_do_is_refused_by_name(engine: Any, fields: dict[str, Any], param: str) -> None:
    call = Call(SpeechRequest.model_validate({"input": "Hello", **fields}))
    [(_, error)] = engine.answer(feed_of([call]))
    assert isinstance(error, InvalidField)
    assert error.param == param


def test_seed_and_language_are_features(engine: Engine) -> None:
    request = SPEECH.request.model_validate({"input": "Hello", "seed": 1, "language": "de"})
    assert {feature for _, feature in request.requirements()} <= engine.loaded_features()


def test_weights_that_are_no_numbers_are_an_error(engine: Any) -> None:
    layer = engine._voice._model.text_encoder.embedding
    weight, layer.weight = layer.weight, layer.weight * float("nan")
    try:
        [[error]] = speak(engine, "Hello")
    finally:
        layer.weight = weight
    assert isinstance(error, EngineFailed)
    assert "not numbers" in error.message


def test_folder_of_another_kind_is_refused(models: Models, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="mlx-community/Kokoro"):
        load(tmp_path)
    shutil.copy(models("mlx_kokoro") / "config.json", tmp_path)
    with pytest.raises(LoadFailed, match="no voices"):
        load(tmp_path)
