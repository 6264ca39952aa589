"""Whisper's transcripts match those of transformers, alone and in a batch, and every kind of file is read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelSpec
from contract.errors import EngineFailed, InvalidField, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.transcription import TranscriptionResponse
from contract.tasks.translation import TRANSLATION
from scripts.testbed.models.speech import WINDOW
from tests.conftest import Models
from tests.support.batching import feed_of
from tests.support.recordings import RATE, encoded, samples, silent_film, wav
from tests.support.transcripts import ask, outputs, request, transcript
from workers.engine import Call, Device, Engine
from workers.registry import find_engine

Library = Callable[[Any, float], list[dict[str, Any]]]

FILES = {
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("mp4", "aac"),
    "ogg": ("ogg", "libopus"),
    "webm": ("webm", "libopus"),
    "flac": ("flac", "flac"),
    "mkv": ("matroska", "pcm_s16le"),
}


def load(folder: Path, **options: Any) -> Engine:
    engine = find_engine("whisper")()
    options = {"threads": 1, "fallback_temperatures": [], **options}
    engine.load(ModelSpec(id="ears", engine="whisper", source=str(folder), options=options), Device("cpu", "float32"))
    return engine


@pytest.fixture(scope="module")
def engine(models: Models) -> Engine:
    return load(models("whisper"), batch_size=3)


@pytest.fixture(scope="module")
def english(models: Models) -> Engine:
    return load(models("whisper_en"))


@pytest.fixture(scope="module")
def library(models: Models) -> Library:
    """Segments of a window, which begins at a second of the recording, as transformers finds them."""
    from transformers import AutoProcessor, WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(models("whisper"))
    processor = AutoProcessor.from_pretrained(models("whisper"))

    def segments(audio: Any, begin: float) -> list[dict[str, Any]]:
        window = audio[round(begin * RATE) :][: WINDOW * RATE].astype("float32") / 2**15
        inputs = processor(window, sampling_rate=RATE, return_tensors="pt")
        outputs = model.generate(
            **inputs, language="fr", return_timestamps=True, return_segments=True, force_unique_generate_call=True
        )
        found: list[dict[str, Any]] = outputs["segments"][0]
        return found

    return segments


@pytest.mark.parametrize("seconds", [3, 4, 4.5 * WINDOW])
def test_windows_are_read_as_by_the_library(engine: Engine, library: Library, seconds: float) -> None:
    segments = transcript(engine, wav(seconds), language="fr").segments or []
    windows = {segment.seek / 100: [] for segment in segments}
    for segment in segments:
        windows[segment.seek / 100].append(segment)
    assert len(windows) >= seconds // WINDOW
    for begin, found in windows.items():
        expected = library(samples(seconds), begin)
        spoken = [one for one in expected if any(token < 256 for token in one["tokens"].tolist())]
        assert [segment.tokens for segment in found] == [one["tokens"].tolist() for one in spoken]
        starts = [min(float(one["start"]) + begin, seconds) for one in spoken]
        assert [segment.start for segment in found] == pytest.approx(starts, abs=0.02)


def test_next_window_begins_where_the_last_one_cut_a_sentence(engine: Engine) -> None:
    segments = transcript(engine, wav(4.5 * WINDOW), language="fr").segments or []
    cut = [(before, after) for before, after in pairwise(segments) if before.seek != after.seek]
    assert any(before.end == after.seek / 100 for before, after in cut)
    assert all(after.seek / 100 - before.seek / 100 <= WINDOW for before, after in cut)


def test_language_is_the_one_that_the_library_detects(engine: Engine, models: Models) -> None:
    from transformers import AutoProcessor, WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(models("whisper"))
    processor = AutoProcessor.from_pretrained(models("whisper"))
    for seed in range(3):
        inputs = processor(samples(3, seed).astype("float32") / 2**15, sampling_rate=RATE, return_tensors="pt")
        token = int(model.detect_language(**inputs)[0])
        assert transcript(engine, wav(3, seed)).language == processor.tokenizer.decode([token]).strip("<|>")


def test_answers_do_not_depend_on_their_neighbours(engine: Engine) -> None:
    requests = [request(wav(seconds, seed)) for seed, seconds in enumerate((9.0, 1.0, 5.0, 2.0, 13.0))]
    alone = [ask(engine, one)[0] for one in requests]
    together = ask(engine, *requests)
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert len({answer.text for answer in alone}) > 2
    for one, other in zip(alone, together, strict=True):
        assert [segment.tokens for segment in one.segments] == [segment.tokens for segment in other.segments]


def test_deltas_add_up_to_the_text(engine: Engine) -> None:
    [events] = outputs(engine, request(wav(9), response_format="json", stream=True))
    *deltas, done, end = events
    assert end is None
    assert len(deltas) > 1
    assert "".join(event.delta for event in deltas) == done.text == done.whole.text


def test_prompt_language_and_temperature_change_the_answer(engine: Engine) -> None:
    plain = transcript(engine, wav(3), language="en")
    assert transcript(engine, wav(3), language="de").text != plain.text
    assert transcript(engine, wav(3), language="en", prompt="hello you").text != plain.text
    assert {transcript(engine, wav(3), language="en", temperature=1.0).text for _ in range(8)} != {plain.text}
    assert transcript(engine, wav(3), language="English").text == plain.text


def test_prompt_stands_before_the_first_window_alone(engine: Engine) -> None:
    long, short = request(wav(9), language="en", prompt="hello"), request(wav(3, 1), language="en", prompt="hello")
    alone = [ask(engine, one)[0].text for one in (long, short)]
    assert [answer.text for answer in ask(engine, long, short)] == alone


def test_prompt_with_a_control_token_is_refused_alone(engine: Engine) -> None:
    error, other = ask(engine, request(wav(3), prompt="so <|endoftext|>"), request(wav(3), prompt="so"))
    assert isinstance(error, InvalidField), error
    assert error.param == "prompt"
    assert isinstance(other, TranscriptionResponse)


def test_words_have_times_within_the_recording(engine: Engine) -> None:
    answer = transcript(engine, wav(9), timestamp_granularities=["word"])
    assert answer.words
    assert answer.segments is None
    assert "".join(word.word for word in answer.words) == answer.text.replace(" ", "")
    assert all(0 <= word.start <= word.end <= 9 for word in answer.words)
    both = transcript(engine, wav(9), timestamp_granularities=["word", "segment"])
    assert both.words == answer.words
    assert both.segments


def test_reading_words_does_not_change_the_text(engine: Engine) -> None:
    before = transcript(engine, wav(5)).text
    assert transcript(engine, wav(5), timestamp_granularities=["word"]).text == before
    assert transcript(engine, wav(5)).text == before


def test_translation_is_another_task(engine: Engine) -> None:
    translation = TRANSLATION.request.model_validate({"file": wav(3), "response_format": "verbose_json"})
    [answer] = ask(engine, translation)
    assert answer.task == "translate"
    assert answer.text != transcript(engine, wav(3), language=answer.language).text


def test_model_for_english_refuses_other_languages(english: Engine) -> None:
    assert transcript(english, wav(3)).language == "en"
    [wrong] = ask(english, request(wav(3), language="de"))
    assert isinstance(wrong, InvalidField)
    [refused] = ask(english, TRANSLATION.request.model_validate({"file": wav(3)}))
    assert isinstance(refused, UnsupportedFeature)
    [without_words] = ask(english, request(wav(3), timestamp_granularities=["word"]))
    assert isinstance(without_words, UnsupportedFeature)
    assert without_words.param == "timestamp_granularities"


@pytest.mark.parametrize("name", FILES)
def test_files_of_every_format_are_read(engine: Engine, name: str) -> None:
    container, codec = FILES[name]
    answer = transcript(engine, encoded(container, codec, 3))
    assert answer.duration == pytest.approx(3, abs=0.1)
    assert answer.text


def test_sample_rate_and_channels_do_not_matter(engine: Engine) -> None:
    plain = transcript(engine, wav(3)).text
    assert transcript(engine, encoded("wav", "pcm_f32le", 3, rate=16_000, layout="mono")).text == plain


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no recording", "no recording that can be read"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "no recording that can be read"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n", "no recording that can be read"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "no recording that can be read"),
        (silent_film(), "has no sound"),
        (wav(0), "is empty"),
    ],
    ids=["text", "damaged", "playlist", "concat", "film", "empty"],
)
def test_other_files_are_refused_as_what_they_are(engine: Engine, content: bytes, sentence: str) -> None:
    [error] = ask(engine, request(content))
    assert isinstance(error, InvalidField), error
    assert sentence in error.message
    assert error.param == "file"


def test_file_that_breaks_off_is_read_to_its_end(engine: Engine) -> None:
    whole = wav(6)
    assert transcript(engine, whole[: len(whole) // 2]).duration == pytest.approx(3, abs=0.1)


def test_one_bad_file_does_not_end_the_others(engine: Engine) -> None:
    good, bad = ask(engine, request(wav(3)), request(b"no recording"))
    assert isinstance(good, TranscriptionResponse)
    assert isinstance(bad, ServeError)


def test_long_recordings_are_refused_with_the_option_to_change(models: Models) -> None:
    [error] = ask(load(models("whisper"), max_minutes=0.1), request(wav(7)))
    assert isinstance(error, InvalidField)
    assert "longer than 0.1 minutes" in error.message
    assert "`options.max_minutes`" in error.message


def test_recording_of_unknown_length_ends_at_the_limit(models: Models) -> None:
    [error] = ask(load(models("whisper"), max_minutes=0.1), request(encoded("adts", "aac", 13)))
    assert isinstance(error, InvalidField)
    assert "longer than 0.1 minutes" in error.message


def test_cancelled_calls_get_no_more_windows(engine: Any) -> None:
    call: Call[Any] = Call(request(wav(40)))
    answers = engine.answer(feed_of([call]))
    next(answers)
    call.cancel()
    assert len(list(answers)) <= 1


def test_weights_that_are_no_numbers_are_an_error(models: Models) -> None:
    engine: Any = load(models("whisper"))
    engine._recognizer.model.proj_out.weight.data.fill_(float("nan"))
    [error] = ask(engine, request(wav(3), language="en"))
    assert isinstance(error, EngineFailed)
    assert "not numbers" in error.message


def test_checkpoint_without_times_is_refused(models: Models, tmp_path: Path) -> None:
    import json
    import shutil

    folder = shutil.copytree(models("whisper"), tmp_path / "old")
    settings = json.loads((folder / "generation_config.json").read_text())
    del settings["no_timestamps_token_id"]
    (folder / "generation_config.json").write_text(json.dumps(settings))
    with pytest.raises(LoadFailed, match="no_timestamps_token_id"):
        load(folder)
