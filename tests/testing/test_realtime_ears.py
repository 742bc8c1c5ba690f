"""What a scripted server hears."""

from __future__ import annotations

from typing import Literal

import pytest

from repartee.audio import g711
from repartee.testing.realtime_ears import Ears, Perceived
from repartee.testing.realtime_voice import speak, tones
from repartee.testing.speech import noise

MS = 48


def said(text: str) -> bytes:
    return b"".join(chunk.audio for chunk in speak(text))


def test_speech_starts_and_stops_where_it_does() -> None:
    ears = Ears()
    heard = list(
        ears.feed(
            bytes(1000 * MS) + said("good morning") + bytes(600 * MS + 7), silence_ms=400, prefix_ms=200
        )
    )
    assert heard == [
        Perceived("started", 800),
        Perceived("word", 1250, "good"),
        Perceived("word", 1500, "morning"),
        Perceived("stopped", 1900),
    ]
    assert ears.position_ms == 2100
    assert not ears.speaking


def test_a_turn_has_its_audio_from_the_padding_on() -> None:
    ears = Ears()
    speech = said("good morning")
    heard = []
    for found in ears.feed(bytes(1000 * MS) + speech + bytes(600 * MS), silence_ms=400, prefix_ms=200):
        heard.append(found.kind)
        if found.kind == "stopped":
            words, audio = ears.take_turn()
    assert heard == ["started", "word", "word", "stopped"]
    assert words == "good morning"
    # The padding, and the two steps in which it was seen to be speech.
    assert audio == bytes(200 * MS) + speech + bytes(400 * MS)
    assert len(ears.audio) == 200 * MS


def test_two_turns_in_one_piece_are_two() -> None:
    ears = Ears()
    turns = []
    piece = said("one") + bytes(500 * MS) + said("two") + bytes(500 * MS)
    for found in ears.feed(piece, silence_ms=300):
        if found.kind == "stopped":
            turns.append((found.at_ms, ears.take_turn()[0]))
    assert turns == [(550, "one"), (1300, "two")]


def test_a_click_is_no_speech_and_noise_is() -> None:
    assert list(Ears().feed(noise(240) + bytes(600 * MS), silence_ms=200)) == []
    kinds = [found.kind for found in Ears().feed(noise(4800) + bytes(600 * MS), silence_ms=200)]
    assert kinds == ["started", "stopped"]
    voiced = tones(["hello"], [12_000], 24_000)
    assert [f.kind for f in Ears().feed(voiced + bytes(600 * MS), silence_ms=200)] == ["started", "stopped"]


def test_without_turn_detection_it_only_listens() -> None:
    ears = Ears()
    assert [f.kind for f in ears.feed(said("push to talk")[:-2000], silence_ms=None)] == ["word", "word"]
    words, audio = ears.take_turn()
    assert words.startswith("push to t")
    assert audio == said("push to talk")[:-2000]
    assert ears.take_turn() == ("", b"")


def test_what_was_cleared_is_forgotten() -> None:
    ears = Ears()
    list(ears.feed(said("never mind"), silence_ms=500))
    assert ears.speaking
    ears.clear()
    assert (ears.speaking, ears.words, bytes(ears.audio)) == (False, [], b"")


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_telephony_is_heard_too(law: Literal["ulaw", "alaw"]) -> None:
    ears = Ears(law)
    speech = b"".join(chunk.audio for chunk in speak("hello", format=law))
    silence = g711.encode(bytes(2 * 8 * 500), law)
    heard = [found.kind for found in ears.feed(silence + speech + silence, silence_ms=300)]
    assert [kind for kind in heard if kind != "word"] == ["started", "stopped"]
    assert ears.position_ms == 1250
