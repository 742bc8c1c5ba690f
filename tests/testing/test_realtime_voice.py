"""How a scripted server speaks."""

from __future__ import annotations

import numpy as np
import pytest

from repartee.audio import g711
from repartee.testing.realtime_voice import speak, tones
from repartee.testing.speech import decode


def test_its_audio_says_its_words() -> None:
    chunks = speak("One two,  three.", ms_per_word=120, chunk_ms=50)
    assert [chunk.transcript for chunk in chunks if chunk.transcript] == ["One", " two,", "  three."]
    assert {len(chunk.audio) for chunk in chunks[:-1]} == {50 * 48}
    audio = b"".join(chunk.audio for chunk in chunks)
    assert len(audio) == 360 * 48
    assert [(word.text, word.start_samples // 24) for word in decode(audio, 24_000)] == [
        ("One", 0),
        ("two,", 120),
        ("three.", 240),
    ]


def test_a_word_comes_with_the_chunk_in_which_it_begins() -> None:
    words = [chunk.transcript for chunk in speak("a b c ", ms_per_word=150, chunk_ms=100)]
    assert words == ["a", " b", "", " c ", ""]


def test_a_long_word_takes_its_time() -> None:
    [first, *rest] = speak("incomprehensibilities", ms_per_word=50)
    assert first.transcript == "incomprehensibilities"
    assert len(first.audio) + sum(len(chunk.audio) for chunk in rest) == 210 * 48


def test_nothing_is_said_in_no_time() -> None:
    assert speak("") == speak("  ") == []
    assert tones([], [], 24_000) == b""


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_telephony_has_a_byte_a_sample(law: str) -> None:
    [chunk] = speak("hello", format=law, ms_per_word=100)  # type: ignore[arg-type]
    assert len(chunk.audio) == 800
    assert np.abs(np.frombuffer(g711.decode(chunk.audio, law), "<i2")).max() > 900  # type: ignore[arg-type]


def test_tones_are_soft_and_differ_by_word() -> None:
    audio = np.frombuffer(tones(["a", "bird"], [4800, 9600], 24_000), "<i2").astype(float)
    pitches = [np.abs(np.fft.rfft(audio[at : at + 4800])).argmax() * 5 for at in (0, 4800)]
    assert pitches == [245, 370]  # 247 and 370 Hz, as far as 5 Hz tell
    assert abs(audio).max() <= 6000
    assert abs(audio[[0, 4799, 4800, -1]]).max() == 0
