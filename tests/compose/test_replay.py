"""What is kept of the user's audio for another model, and what is let go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from repartee.audio import AudioFrame
from repartee.chat import AudioContent, FunctionCallOutput, ImageContent, Message
from repartee.compose.replay import LEAD_S, OPEN_MAX_S, TURNS_MAX, InputAudio, Line, Rates, is_empty
from repartee.models.events import ItemAdded, TranscriptDelta

RATE = 16_000


def frame(ms: float = 20) -> AudioFrame:
    return AudioFrame.silence(ms, RATE)


def test_a_turn_is_kept_until_its_words_are_known() -> None:
    it = InputAudio()
    assert not it.busy()
    it.item_id = "item_1"
    it.append(frame(), keep_all=True)
    assert it.busy()
    it.commit(None)
    assert [turn.item_id for turn in it.turns] == ["item_1"]
    assert not it.frames
    it.committed("item_1")
    assert it.busy()
    it.forget("item_1")
    assert not it.busy()


def test_the_id_may_come_from_the_model() -> None:
    it = InputAudio()
    it.append(frame(), keep_all=True)
    it.commit(None)
    it.committed("item_7")
    assert [turn.item_id for turn in it.turns] == ["item_7"]
    it.answered()
    assert it.turns == []


def test_a_commit_without_audio_is_no_turn() -> None:
    it = InputAudio()
    it.commit(None)
    it.append(frame(), keep_all=True)
    it.clear()
    it.commit(None)
    it.committed("item_1")
    assert it.turns == []


def test_of_silence_little_is_kept_and_of_speech_much() -> None:
    it = InputAudio()
    for _ in range(500):
        it.append(frame(), keep_all=False)
    assert sum(each.duration_s for each in it.frames) == pytest.approx(LEAD_S, abs=0.03)
    assert not it.busy()
    it.speaking = True
    assert it.busy()
    for _ in range(100):
        it.append(frame(1000), keep_all=False)
    assert sum(each.duration_s for each in it.frames) == pytest.approx(OPEN_MAX_S)
    it.speaking = False
    it.committed("item_1")
    assert [turn.item_id for turn in it.turns] == ["item_1"], "the model closed it by itself"


def test_turns_are_bounded() -> None:
    it = InputAudio()
    for number in range(TURNS_MAX + 3):
        it.append(frame(), keep_all=True)
        it.commit(f"item_{number}")
    assert [turn.item_id for turn in it.turns] == ["item_3", "item_4", "item_5", "item_6"]


def test_rates_are_translated_both_ways() -> None:
    rates = Rates((24_000, 16_000), (16_000, 24_000))
    assert rates.input(AudioFrame.silence(20, 24_000)).sample_rate == 16_000
    assert rates.input(frame()).sample_rate == RATE, "what is at another rate is the model's to refuse"
    first, second = rates.output("a", frame()), rates.output("a", frame())
    assert (first.sample_rate, first.position_samples, second.position_samples) == (24_000, 0, first.samples)
    assert rates.output("b", frame()).position_samples == 0
    same = Rates((16_000, 16_000), (16_000, 16_000))
    assert same.output("a", frame()) == frame()


def test_events_in_the_consumers_ids() -> None:
    line = Line(1, Rates((16_000, 16_000), (16_000, 16_000)), item_ids={"item_own": "item_known"})
    message = Message.of("user", "hello", id="item_own")
    assert line.translate(ItemAdded(message, "item_own"), None) == ItemAdded(
        replace(message, id="item_known"), "item_known"
    )
    assert line.translate(TranscriptDelta("resp_own", "item_own", "hi"), "resp_known") == TranscriptDelta(
        "resp_known", "item_known", "hi"
    )
    other = TranscriptDelta("resp_own", "item_2", "hi")
    assert line.translate(other, None) is other
    assert [line.own_id("item_known"), line.own_id("item_2")] == ["item_own", "item_2"]


def test_what_no_model_could_read() -> None:
    assert is_empty(Message("assistant", (), status="in_progress"))
    assert is_empty(Message("user", (AudioContent(None, 300),)))
    assert not is_empty(Message("user", (AudioContent("hello", 300),)))
    assert not is_empty(Message("user", (ImageContent("data:"),), status="in_progress"))
    assert not is_empty(FunctionCallOutput("c1", ""))
