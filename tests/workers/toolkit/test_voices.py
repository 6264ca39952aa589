"""A voice is found by its own name, an entry's name for it, or one of OpenAI's."""

from __future__ import annotations

import pytest

from contract.errors import InvalidField, LoadFailed
from workers.toolkit.speech.voices import Voices

VOICES = Voices(["af_heart", "af_alloy", "bm_george"], {"narrator": "bm_george"})


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, "af_heart"),
        ("default", "af_heart"),
        ("bm_george", "bm_george"),
        ("narrator", "bm_george"),
        ("alloy", "af_alloy"),
        ("Alloy", "af_alloy"),
    ],
)
def test_finds_a_voice_by_each_of_its_names(wanted: str | None, found: str) -> None:
    assert VOICES.find(wanted) == (found, None)


def test_openais_voices_become_the_default_one_with_a_warning() -> None:
    voice, warning = VOICES.find("shimmer")
    assert voice == "af_heart"
    assert warning
    assert "`shimmer`" in warning
    assert "`options.voices`" in warning


def test_entry_may_choose_the_default() -> None:
    voices = Voices(["0", "1"], {"default": "1", "echo": "0"})
    assert [voices.find(name)[0] for name in (None, "default", "nova", "echo")] == ["1", "1", "1", "0"]


def test_unknown_voices_are_refused_with_the_list() -> None:
    with pytest.raises(InvalidField, match=r"no voice 'alice'.*af_heart, af_alloy, bm_george, narrator") as caught:
        VOICES.find("alice")
    assert caught.value.param == "voice"


def test_name_for_a_voice_that_does_not_exist_prevents_the_load() -> None:
    with pytest.raises(LoadFailed, match="no voice 'af_hart' for 'alloy'"):
        Voices(["af_heart"], {"alloy": "af_hart"})
