"""The code in which scripted speech tells its own words."""

from __future__ import annotations

import pytest

from repartee.audio import AudioFrame
from repartee.audio.resample import Resampler
from repartee.errors import UsageError
from repartee.testing.speech import (
    DecodedWord,
    Speech,
    SpeechDecoder,
    decode,
    encode,
    find_gaps,
    is_silent,
    level_dbfs,
    noise,
    says_something,
)

RATE = 24_000
TEXT = ["good", "noon", "noon,", "Zoë", "日本"]
ENDS = [8000, 16_000, 24_000, 30_001, 40_000]
AUDIO = encode(TEXT, ENDS)


def test_words_come_back_with_their_places() -> None:
    assert decode(AUDIO, RATE) == [
        DecodedWord(text, start, end, True)
        for text, start, end in zip(TEXT, [0, *ENDS[:-1]], ENDS, strict=True)
    ]
    assert len(AUDIO) == 80_000
    assert find_gaps(AUDIO) == []


@pytest.mark.parametrize("size", [2, 34, 640, 960, 4096])
def test_framing_changes_nothing(size: int) -> None:
    decoder = SpeechDecoder(RATE)
    found = [
        word for start in range(0, len(AUDIO), size) for word in decoder.feed(AUDIO[start : start + size])
    ]
    assert found == decode(AUDIO, RATE)
    assert decoder.finish() is None
    assert decoder.position_samples == 40_000


def test_a_word_cut_off_is_known_as_far_as_it_goes() -> None:
    cut = AUDIO[: 2 * 12_000]
    assert decode(cut, RATE)[-1] == DecodedWord("no", 8000, 12_000, False)
    assert decode(cut + bytes(2000), RATE)[-1] == DecodedWord("no", 8000, 12_000, False)


def test_silence_and_noise_say_nothing() -> None:
    assert decode(bytes(9600), RATE) == []
    assert decode(noise(4801), RATE) == []
    assert len(noise(4801)) == 9602
    assert is_silent(bytes(10))
    assert not is_silent(noise(1))
    assert not says_something(noise(100) + bytes(100))
    assert says_something(bytes(100) + AUDIO[:4])
    decoder = SpeechDecoder(RATE)
    found = decoder.feed(noise(960) + AUDIO + noise(960))
    assert [word.text for word in found] == TEXT
    assert found[0].start_samples == 960


def test_real_sound_of_any_loudness_is_no_reason_to_fail() -> None:
    import numpy as np

    sweep = np.arange(-32768, 32768, 3, dtype="<i2").repeat(40).tobytes()
    for word in decode(sweep, 16_000):
        assert isinstance(word.text, str)
    loud = np.full(1600, 16_400, dtype="<i2").tobytes()
    assert decode(loud, 16_000) == []


def test_level() -> None:
    assert level_dbfs(bytes(100)) == -96.0
    assert level_dbfs(noise(1000)) == pytest.approx(-33.4, abs=0.01)


@pytest.mark.parametrize("rate", [16_000, 48_000, 8000])
def test_resampling_keeps_the_words(rate: int) -> None:
    resampler = Resampler(RATE, rate)
    data = b"".join(
        resampler.push(AudioFrame(AUDIO[at : at + 960], RATE, position_samples=at // 2)).data
        for at in range(0, len(AUDIO), 960)
    )
    data += resampler.flush().data
    found = decode(data, rate)
    assert [word.text for word in found] == TEXT
    for word, end in zip(found, ENDS, strict=True):
        assert word.end_samples / rate == pytest.approx(end / RATE, abs=0.003)


def test_lost_and_repeated_samples_show() -> None:
    assert find_gaps(AUDIO[:2000] + AUDIO[2200:]) == [1000]
    assert find_gaps(AUDIO[:2000] + AUDIO[1800:]) == [1000]


def test_speech_has_a_steady_pace() -> None:
    said = Speech("book a table", 1.0, 4.0)
    assert [(word.text, word.start_s, word.end_s) for word in said.words] == [
        ("book", 1.0, 1.25),
        ("a", 1.25, 1.5),
        ("table", 1.5, 1.75),
    ]
    assert said.end_s == 1.75


def test_a_word_needs_time() -> None:
    with pytest.raises(UsageError, match="more time"):
        encode(["impossible"], [100])
