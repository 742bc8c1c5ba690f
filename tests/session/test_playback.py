"""Outputs of every kind: late, deaf, unable to pause, of another rate; and inputs of another rate, or stereo."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from repartee.audio import AudioFrame
from repartee.io import AudioInput, OutputCapabilities, PlaybackPosition
from repartee.models import events as ev
from repartee.testing import (
    MemoryInput,
    MemoryOutput,
    MemoryTextOutput,
    Reply,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    elapse,
    slow,
    virtual_time,
)
from tests.session.scene import Scene

BOOK = "book a table"
ANSWER = "Sure, for how many people shall it be on Friday?"


async def _ask_and_stop(scene: Scene) -> None:
    scene.mic.speak(BOOK, 0.96)
    scene.mic.speak("no stop it", 3.52)
    await scene.until(9)


def _llm() -> ScriptedLLM:
    return ScriptedLLM({BOOK: ANSWER, "*": "Fine."})


@virtual_time
async def test_late_acknowledgements_cut_at_the_word_all_the_same() -> None:
    async with Scene(model=_llm(), loudspeaker=MemoryOutput(ack_lag_s=0.15)) as scene:
        await _ask_and_stop(scene)
    # The position that answers the clear comes 150 ms later, and is that of the clear.
    assert scene.times(ev.OutputClear) == [3960]
    assert scene.times(ev.ItemTruncated) == [4110]
    assert scene.said[1] == ("assistant", "Sure, for how many people shall–")
    assert scene.said[2:] == [("user", "no stop it"), ("assistant", "Fine.")]
    assert scene.heard.endswith("Fine.")


@virtual_time
async def test_a_device_with_a_buffer_of_its_own_counts_what_it_still_plays() -> None:
    async with Scene(loudspeaker=MemoryOutput(device_buffer_ms=100)) as scene:
        handle = scene.session.say("one two three four five six")
        await scene.until(0.75)
        handle.interrupt()
        await handle
        assert scene.session.now == pytest.approx(0.85)
    assert scene.spans_ms == [(50, 850)]
    assert scene.said == [("assistant", "one two three four–")]


class _Deaf(MemoryOutput):
    """Never answers a clear, or only after a time."""

    answer_after_s: float | None = None

    def open(self, *, on_position: Any, on_error: Any) -> None:
        def answer(position: PlaybackPosition) -> None:
            if not position.cleared:
                on_position(position)
            elif self.answer_after_s is not None:
                asyncio.get_running_loop().call_later(self.answer_after_s, on_position, position)

        super().open(on_position=answer, on_error=on_error)


@virtual_time
async def test_an_output_that_never_answers_a_clear() -> None:
    async with Scene(model=_llm(), loudspeaker=_Deaf()) as scene:
        await _ask_and_stop(scene)
    # It is waited for 400 ms; what was acknowledged by then counts.
    assert scene.times(ev.ItemTruncated) == [4360]
    assert scene.said[1] == ("assistant", "Sure, for how many people shall–")
    assert scene.said[3] == ("assistant", "Fine.")
    assert scene.heard.endswith("Fine.")


@virtual_time
async def test_an_answer_to_a_clear_that_was_given_up_takes_nothing_back() -> None:
    out = _Deaf()
    out.answer_after_s = 0.7
    async with Scene(loudspeaker=out) as scene:
        scene.session.say("one two three four five six")
        await scene.until(0.5)
        scene.session.interrupt()
        second = scene.session.say("seven eight nine ten eleven twelve")
        await second  # the answer comes while it is heard
    assert scene.said == [("assistant", "one two–"), ("assistant", "seven eight nine ten eleven twelve")]
    assert not second.interrupted
    assert scene.errors == []


@virtual_time
async def test_an_output_that_can_not_pause_plays_on_until_it_is_clear_who_speaks() -> None:
    out = MemoryOutput(capabilities=OutputCapabilities(pause=False))
    async with Scene(model=_llm(), loudspeaker=out) as scene:
        await _ask_and_stop(scene)
    # It was asked to pause at 3720, and played on what it held (it holds 200 ms at most).
    assert scene.spans_ms[0][0] == 2484
    assert 3720 < scene.spans_ms[0][1] <= 3960
    assert scene.said[1][1].startswith("Sure, for how many people shall")
    assert scene.said[3] == ("assistant", "Fine.")


@virtual_time
async def test_an_output_that_can_not_pause_and_a_noise() -> None:
    out = MemoryOutput(capabilities=OutputCapabilities(pause=False))
    async with Scene(model=_llm(), loudspeaker=out) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.noise(3.52, 0.4)
        await scene.until(8)
    assert scene.heard == ANSWER
    assert scene.said == [("user", BOOK), ("assistant", ANSWER)]


@virtual_time
async def test_an_output_that_wants_all_there_is() -> None:
    out = MemoryOutput(capabilities=OutputCapabilities(max_lead_ms=None))
    async with Scene(model=_llm(), loudspeaker=out) as scene:
        await _ask_and_stop(scene)
    assert out.queued_samples_max >= 24_000 * 1.8
    assert scene.said[1] == ("assistant", "Sure, for how many people shall–")


@virtual_time
async def test_an_output_of_another_rate() -> None:
    out = MemoryOutput(sample_rate=16_000)
    answer = "Well for how many people shall it be on Friday?"
    async with Scene(answer, loudspeaker=out, comparable=False) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(6)
    assert scene.said == [("user", BOOK), ("assistant", answer)]
    start, end = scene.spans_ms[0][0], scene.spans_ms[-1][1]
    assert start == pytest.approx(2484, abs=2)
    assert end == pytest.approx(4484, abs=2)
    assert 0 <= scene.out.written_samples - 32_000 <= 32  # two seconds, and what a filter adds at its end
    assert scene.out.heard_text() == answer


@virtual_time
async def test_a_truncation_is_counted_in_the_outputs_own_samples() -> None:
    out = MemoryOutput(sample_rate=48_000)
    async with Scene(model=_llm(), loudspeaker=out, comparable=False) as scene:
        await _ask_and_stop(scene)
    assert scene.events(ev.ItemTruncated)[0].audio_end_ms == pytest.approx(1236, abs=1)
    assert scene.said[1] == ("assistant", "Sure, for how many people shall–")


@virtual_time
async def test_a_voice_slower_than_speech_leaves_gaps_and_loses_nothing() -> None:
    slow_voice = ScriptedTTS(ms_per_word=200.0, chunk_s=0.25)  # 100 ms of sound every 250 ms
    async with Scene("one two three", tts=slow_voice) as scene:
        await scene.session.send_text(BOOK)
    assert len(scene.spans_ms) > 3
    assert scene.heard == "one two three"
    assert scene.said[1] == ("assistant", "one two three")
    assert [s for _, s in scene.agent_states].count("speaking") == 1


@virtual_time
async def test_an_interruption_while_the_output_has_run_dry() -> None:
    slow_voice = ScriptedTTS(ms_per_word=200.0, chunk_s=1.0)
    async with Scene(model=_llm(), tts=slow_voice) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak("no stop it", 5.6)  # four chunks were heard: two words; the fifth is on its way
        await scene.until(11)
    assert scene.said == [
        ("user", BOOK),
        ("assistant", "Sure, for–"),  # half of the next word was heard, which does not count
        ("user", "no stop it"),
        ("assistant", "Fine."),
    ]


@virtual_time
async def test_a_device_that_is_closed_under_the_session() -> None:
    async with Scene(model=_llm()) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(3)
        scene.out.fail()
        await elapse(0)
        handle = await scene.session.send_text(
            "hello"
        )  # it still answers, and finds out that nobody hears it
        assert scene.session.agent_state == "listening"
    assert handle.interrupted
    assert scene.errors == [("output", "DeviceError")] * 2
    assert scene.said == [("user", BOOK), ("assistant", "Sure, for–"), ("user", "hello")]


@virtual_time
async def test_the_last_word_is_shown_even_if_the_model_ends_late() -> None:
    captions = MemoryTextOutput()
    llm = ScriptedLLM(["Well sure."], faults=[slow(2.0, after=2)])
    async with Scene(model=llm, captions=captions) as scene:
        handle = await scene.session.send_text(BOOK)
    assert captions.replies == ["Well sure."]
    assert handle.items == [scene.session.history.items[-1]]
    assert scene.events(ev.OutputHeard)[-1].text == "Well sure."


@virtual_time
async def test_a_reply_of_two_minutes_is_played_to_its_end() -> None:
    words = " ".join(f"w{index}" for index in range(600))  # 120 s
    captions = MemoryTextOutput()
    async with Scene(Reply(words, inter_token_s=0.0), captions=captions) as scene:
        handle = await scene.session.send_text("read")
    assert not handle.interrupted
    assert scene.errors == []
    assert captions.replies == [words]


# -- inputs ----------------------------------------------------------------------------------------------------


class Stereo(AudioInput):
    """A microphone pair: the same on both sides."""

    def __init__(self, inner: MemoryInput) -> None:
        self.inner = inner
        self.sample_rate = inner.sample_rate

    async def __aiter__(self) -> AsyncIterator[AudioFrame]:
        async for frame in self.inner:
            both = b"".join(frame.data[at : at + 2] * 2 for at in range(0, len(frame.data), 2))
            yield AudioFrame(both, frame.sample_rate, 2, frame.position_samples)

    async def aclose(self) -> None:
        await self.inner.aclose()


@virtual_time
async def test_a_stereo_microphone() -> None:
    inner = MemoryInput()
    async with Scene(ANSWER, microphone=Stereo(inner)) as scene:
        inner.speak(BOOK, 0.96)
        await scene.until(6)
    assert scene.said == [("user", BOOK), ("assistant", ANSWER)]
    assert scene.times(ev.InputCommitted) == [2484]


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@virtual_time
async def test_a_microphone_of_another_rate(rate: int) -> None:
    async with Scene(
        ANSWER, microphone=MemoryInput(sample_rate=rate), stt=ScriptedSTT(sample_rate=24_000)
    ) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(6)
    assert scene.said == [("user", BOOK), ("assistant", ANSWER)]
    # Resampling smears the edges of a sound by less than a window of the detector.
    assert scene.times(ev.InputCommitted)[0] == pytest.approx(2484, abs=33)
