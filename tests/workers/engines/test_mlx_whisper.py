"""Whisper with MLX writes down recordings as mlx-audio does, window by window, alone and in a batch."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelSpec
from contract.errors import EngineFailed, InvalidField, LoadFailed
from contract.tasks.transcription import TranscriptionResponse
from contract.tasks.translation import TRANSLATION
from tests.conftest import Models
from tests.support.recordings import samples, wav
from tests.support.transcripts import ask, request, transcript
from workers.engine import Call, Device, Engine
from workers.registry import find_engine

SEEDS = (0, 2, 3)
"""Recordings for which the library's rules for times leave it a token at every step."""


def load(folder: Path, dtype: str = "float32", **options: Any) -> Engine:
    engine = find_engine("mlx_whisper")()
    options = {"fallback_temperatures": [], **options}
    engine.load(ModelSpec(id="ears", engine="mlx_whisper", source=str(folder), options=options), Device("cpu", dtype))
    return engine


@pytest.fixture(scope="module")
def engine(models: Models) -> Engine:
    return load(models("mlx_whisper"), batch_size=3)


def library(engine: Any, audio: Any, **options: Any) -> Any:
    """The library's own transcript."""
    defaults = {"temperature": (0.0,), "condition_on_previous_text": False, "fp16": False}
    return engine._recognizer.model.generate(audio.astype("float32") / 2**15, **defaults, **options)


def spoken(segments: Any) -> Any:
    """The library's segments that have a text."""
    return [segment for segment in segments if segment["text"].strip()]


def assert_equal(answer: TranscriptionResponse, expected: Any) -> None:
    """The answer has the library's text, tokens and times."""
    found = [segment for segment in expected.segments if segment["text"].strip()]
    assert answer.segments is not None
    assert answer.language == expected.language
    assert answer.text == "".join(segment["text"] for segment in found).lstrip()
    assert [segment.tokens for segment in answer.segments] == [segment["tokens"] for segment in found]
    for name in ("avg_logprob", "no_speech_prob", "temperature"):
        values = [segment[name] for segment in found]
        assert [getattr(segment, name) for segment in answer.segments] == pytest.approx(values, abs=1e-4)
    assert [segment.start for segment in answer.segments] == [min(segment["start"], 3) for segment in found]
    assert [segment.end for segment in answer.segments] == [min(segment["end"], 3) for segment in found]


def test_recordings_are_read_as_by_the_library(engine: Engine) -> None:
    together = ask(engine, *(request(wav(3, seed)) for seed in SEEDS))
    for answer, seed in zip(together, SEEDS, strict=True):
        assert_equal(answer, library(engine, samples(3, seed)))
    assert len({answer.text for answer in together}) == len(SEEDS)


def test_language_and_prompt_are_the_librarys(engine: Engine) -> None:
    answer = transcript(engine, wav(3), language="fr", prompt="17 and 18")
    assert_equal(answer, library(engine, samples(3), language="fr", initial_prompt="17 and 18"))


def test_words_have_the_librarys_times(engine: Engine) -> None:
    answer = transcript(engine, wav(3), language="fr", timestamp_granularities=["word", "segment"])
    expected = library(engine, samples(3), language="fr", word_timestamps=True, clip_timestamps="0")
    words = [word for segment in expected.segments if segment["seek"] == 0 for word in segment["words"]]
    assert [(word.word, word.start, word.end) for word in answer.words or []] == [
        (word["word"].strip(), min(word["start"], 3), min(word["end"], 3)) for word in words if word["word"].strip()
    ]
    assert len(answer.words or []) > 5


def test_segments_are_the_librarys(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own loop takes the same tokens apart, at random places."""
    from mlx_audio.stt.models.whisper.decoding import DecodingResult

    from workers.engines.mlx_whisper.segments import segments

    model, audio, draw = engine._recognizer.model, samples(30), random.Random(1)
    first = model.get_tokenizer().timestamp_begin
    mel = model._prepare_audio(audio.astype("float32") / 2**15)
    monkeypatch.setattr(type(model), "_prepare_audio", lambda *_: mel)
    decoded: list[list[int]] = []
    result = {"audio_features": None, "language": "en", "avg_logprob": 0, "no_speech_prob": 0, "temperature": 0}

    def decode(*_: Any) -> Any:
        return DecodingResult(tokens=decoded.pop() if decoded else [300], **result)

    monkeypatch.setattr(type(model), "decode", decode)
    for _ in range(60):
        times = iter(sorted(first + draw.randrange(1, 1500) for _ in range(20)))
        kinds = draw.choices([[1], [1, 0], [0], [0, 0]], k=6)
        tokens = [next(times) if is_time else draw.randrange(256, 999) for kind in [[1], *kinds] for is_time in kind]
        decoded.append(tokens)
        expected = library(engine, audio, language="en").segments
        window = [segment for segment in expected if segment["seek"] == 0]
        found, read = segments(tokens, first, 30)
        assert [list(one.tokens) for one, other in zip(found, window, strict=True) if other["tokens"]] == [
            other["tokens"] for other in window if other["tokens"]
        ]
        assert [one.start for one in found] == pytest.approx([other["start"] for other in window])
        assert [one.end for one in found] == pytest.approx([other["end"] for other in window])
        assert {other["seek"] for other in expected} - {0} == ({round(read * 100)} if read < 30 else set())


def test_a_text_may_follow_two_times(engine: Any) -> None:
    """Where the library leaves no token at all."""
    import mlx.core as mx
    from mlx_audio.stt.models.whisper.decoding import DecodingOptions, DecodingTask

    from workers.engines.mlx_whisper.recognizer import _TimeRules

    model = engine._recognizer.model
    decoding = DecodingTask(model, DecodingOptions(language="en", fp16=False))
    library_rules, tokenizer = decoding.logit_filters[-1], decoding.tokenizer
    tokens = mx.array([[*decoding.initial_tokens, *[tokenizer.timestamp_begin + 5] * 2]])
    logits = mx.zeros((1, model.dims.n_vocab))
    assert library_rules.apply(logits, tokens).max() == -mx.inf
    scores = _TimeRules(library_rules, [Call(request(wav(1)))], tokenizer, model.dims.n_vocab).apply(logits, tokens)
    assert int(mx.isfinite(scores).sum()) == tokenizer.no_timestamps
    assert scores.argmax() < tokenizer.eot


def test_cancelled_call_ends_at_the_next_token(engine: Any) -> None:
    import mlx.core as mx
    from mlx_audio.stt.models.whisper.decoding import DecodingOptions, DecodingTask

    from workers.engines.mlx_whisper.recognizer import _TimeRules

    model = engine._recognizer.model
    decoding = DecodingTask(model, DecodingOptions(language="en", fp16=False))
    gone, present = Call(request(wav(1))), Call(request(wav(1)))
    rules = _TimeRules(decoding.logit_filters[-1], [gone, present], decoding.tokenizer, model.dims.n_vocab)
    gone.cancel()
    scores = rules.apply(mx.zeros((2, model.dims.n_vocab)), mx.array([decoding.initial_tokens] * 2))
    assert int(scores[0].argmax()) == decoding.tokenizer.eot
    assert int(scores[1].argmax()) >= decoding.tokenizer.timestamp_begin


def test_prompt_with_a_control_token_is_refused_alone(engine: Engine) -> None:
    [error] = ask(engine, request(wav(3), prompt="so <|endoftext|>"))
    assert isinstance(error, InvalidField)
    assert error.param == "prompt"


def test_translation_is_another_task(engine: Engine) -> None:
    [answer] = ask(engine, TRANSLATION.request.model_validate({"file": wav(3), "response_format": "verbose_json"}))
    assert_equal(answer, library(engine, samples(3), task="translate"))
    assert answer.task == "translate"


def test_weights_that_are_no_numbers_are_an_error(engine: Any) -> None:
    norm = engine._recognizer.model.decoder.ln
    weight, norm.weight = norm.weight, norm.weight * float("nan")
    try:
        [error] = ask(engine, request(wav(1), language="en"))
    finally:
        norm.weight = weight
    assert isinstance(error, EngineFailed)
    assert "not numbers" in error.message


def test_what_the_library_cannot_load_is_refused(models: Models, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="float16 or float32"):
        load(models("mlx_whisper"), dtype="bfloat16")
    folder = shutil.copytree(models("mlx_whisper"), tmp_path / "converted")
    for file in folder.glob("*token*.json"):
        file.unlink()
    with pytest.raises(LoadFailed, match="tokenizer"):
        load(folder)
