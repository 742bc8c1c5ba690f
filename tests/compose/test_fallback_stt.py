"""`Fallback` over recognisers: nothing that was said is lost, doubled or out of its place when one is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from repartee.audio import AudioFrame
from repartee.compose import Fallback
from repartee.errors import ConfigurationError, ModelError
from repartee.models import STT, Final, Interim, STTEvent, STTStream
from repartee.models.events import ErrorOccurred, ProviderSwitched, RealtimeEvent
from repartee.testing import Fault, ScriptedSTT, ScriptedTTS, elapse, fail, run, stall, virtual_time
from repartee.testing.conformance_stt import STT_CHECKS, STTCheck
from repartee.testing.conformance_vad import SpeechSample

RATE = 24_000


def spoken(text: str) -> AudioFrame:
    data, _ = ScriptedTTS().speak(text)
    return AudioFrame(data, RATE)


class Listener:
    """A stream of a `Fallback`, and what it told."""

    def __init__(self, *models: STT, **options: Any) -> None:
        self.told: list[RealtimeEvent] = []
        self.events: list[STTEvent] = []
        self.errors: list[ModelError] = []
        self.stt = Fallback(models, **options).bound(self.told.append)
        self.stream = self.open()

    def open(self) -> STTStream:
        return self.stt.stream(sample_rate=RATE, on_event=self.events.append, on_error=self.errors.append)

    async def hear(self, text: str, *, flush: bool = True, frame_ms: int = 20) -> None:
        """Say it in real time."""
        audio = spoken(text)
        step = RATE * frame_ms // 1000
        for start in range(0, audio.samples, step):
            self.stream.push(audio.slice(start, start + step))
            await elapse(frame_ms / 1000)
        if flush:
            self.stream.flush()

    @property
    def finals(self) -> list[tuple[str, int | None]]:
        return [(event.text, event.flush_id) for event in self.events if isinstance(event, Final)]


def sample() -> SpeechSample:
    quiet = bytes(RATE)
    audio = spoken("turn on the light")
    return SpeechSample(
        AudioFrame(quiet + audio.data + quiet, RATE),
        RATE // 2,
        RATE // 2 + audio.samples,
        "turn on the light",
    )


@pytest.mark.parametrize("faults", [(), (fail(None),)], ids=["well", "sick"])
@pytest.mark.parametrize("check", STT_CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: STTCheck, faults: tuple[Fault, ...]) -> None:
    if check.__name__ == "takes_any_rate":
        return  # scripted speech is read from the samples themselves, which don't outlive resampling
    run(check(lambda: Fallback([ScriptedSTT(faults=faults), ScriptedSTT()]), sample()), check_leaks=False)


@virtual_time
async def test_the_next_one_hears_the_open_segment() -> None:
    # It fails after its first interim, in the middle of a turn.
    first, second = ScriptedSTT(faults=[fail(1, after=1)]), ScriptedSTT()
    it = Listener(first, second)
    await it.hear("turn on the light")
    await elapse(1.0)
    assert it.finals == [("turn on the light", 1)]
    assert it.errors == []
    error, switch = it.told
    assert isinstance(error, ErrorOccurred)
    assert switch == ProviderSwitched("stt", "ScriptedSTT", "ScriptedSTT #2", str(error.error))
    await it.stream.aclose()
    assert [first.open_streams, second.open_streams] == [0, 0]


@virtual_time
async def test_flushes_without_their_final_are_asked_for_again_in_order() -> None:
    it = Listener(ScriptedSTT(final_lag_s=1.0, interim_lag_s=None, faults=[fail(1)]), ScriptedSTT())
    it.stream.push(spoken("one two"))
    it.stream.flush()
    it.stream.flush()
    it.stream.push(spoken("three"))
    it.stream.flush()
    it.stream.push(spoken("four"))
    await elapse(3.0)
    it.stream.flush()
    await elapse(1.0)
    assert it.finals == [("one two", 1), ("", 2), ("three", 3), ("four", 4)]
    await it.stream.aclose()


@virtual_time
async def test_a_final_that_does_not_come_is_not_waited_for() -> None:
    it = Listener(ScriptedSTT(faults=[stall(1)], interim_lag_s=None), ScriptedSTT(), deadline_s=2.0)
    it.stream.push(spoken("turn on"))
    it.stream.flush()
    await elapse(1.9)
    assert it.finals == []
    await elapse(0.2)
    assert it.finals == [("turn on", 1)]
    assert isinstance(it.told[0], ErrorOccurred)
    assert "no final within 2 s" in str(it.told[0].error)
    await it.stream.aclose()


@virtual_time
async def test_words_keep_their_place() -> None:
    first = ScriptedSTT(faults=[fail(2, after=1)])
    it = Listener(first, ScriptedSTT())
    await it.hear("one two")
    await it.hear("cough", flush=False)
    it.stream.cancel()
    await it.hear("three four")
    await elapse(1.0)
    last = it.events[-1]
    assert isinstance(last, Final)
    assert last.text == "three four"
    start = spoken("one two").samples + spoken("cough").samples
    assert last.words[0].start_position_samples == pytest.approx(start, abs=RATE // 50 * 2)
    await it.stream.aclose()


@virtual_time
async def test_what_was_cancelled_is_not_heard_by_the_next() -> None:
    it = Listener(ScriptedSTT(faults=[fail(2, after=0)]), ScriptedSTT())
    it.stream.push(spoken("never mind"))
    it.stream.cancel()
    it.stream.push(spoken("hello"))
    await elapse(1.0)
    it.stream.flush()
    await elapse(1.0)
    assert it.finals == [("hello", 1)]
    await it.stream.aclose()


@virtual_time
async def test_back_to_the_first_between_two_segments() -> None:
    first, second = ScriptedSTT(faults=[fail(1)]), ScriptedSTT()
    it = Listener(first, second)
    await it.hear("one")
    await elapse(11.0)
    it.stream.push(spoken("two").slice(0, 100))
    assert [first.open_streams, second.open_streams] == [1, 1], "the second is being closed"
    it.stream.push(spoken("two").slice(100))
    it.stream.flush()
    await elapse(1.0)
    assert it.finals == [("one", 1), ("two", 2)]
    assert [first.open_streams, second.open_streams] == [1, 0]
    assert it.stt.in_use == "ScriptedSTT"
    await it.stream.aclose()


@virtual_time
async def test_a_recogniser_that_ends_segments_by_itself() -> None:
    def endpointing(*faults: Fault) -> ScriptedSTT:
        return ScriptedSTT(endpointing_s=0.5, faults=faults)

    it = Listener(endpointing(fail(2)), endpointing())
    assert it.stt.capabilities.endpointing
    await it.hear("one", flush=False)
    for _ in range(60):
        it.stream.push(AudioFrame.silence(20, RATE))
        await elapse(0.02)
    await it.hear("two", flush=False)
    for _ in range(60):
        it.stream.push(AudioFrame.silence(20, RATE))
        await elapse(0.02)
    assert it.finals == [("one", None), ("two", None)]
    await it.stream.aclose()


@virtual_time
async def test_all_fail_and_one_error_is_told() -> None:
    it = Listener(ScriptedSTT(faults=[fail(None)]), ScriptedSTT(faults=[fail(None)]))
    await it.hear("one")
    await elapse(1.0)
    await it.hear("two")
    (error,) = it.errors
    assert error.code == "all_providers_failed"
    assert len(it.told) == 1
    assert it.finals == []
    await it.stream.aclose()
    again = it.open()
    await elapse(0)
    assert len(it.errors) == 1, "a new stream tries again"
    await again.aclose()


class Unopenable(ScriptedSTT):
    """Has no stream to give."""

    def stream(self, **options: Any) -> STTStream:
        raise ConfigurationError("no such language")


class BrokenAtOnce(ScriptedSTT):
    """Reports its failure before its stream is there."""

    def stream(
        self,
        *,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> STTStream:
        on_error(ModelError("no connection", stage="stt"))
        return super().stream(sample_rate=sample_rate, on_event=on_event, on_error=on_error)


class Bursting(ScriptedSTT):
    """Its stream raises when it is given audio."""

    def stream(self, **options: Any) -> STTStream:
        stream = super().stream(**options)
        stream.push = self._burst  # type: ignore[method-assign]
        return stream

    def _burst(self, frame: AudioFrame) -> None:
        raise OSError("broken pipe")


@pytest.mark.parametrize("kind", [Unopenable, BrokenAtOnce, Bursting])
@virtual_time
async def test_plugins_that_misbehave_are_replaced(kind: type[ScriptedSTT]) -> None:
    it = Listener(kind(), ScriptedSTT())
    await it.hear("hello there")
    await elapse(1.0)
    assert it.finals == [("hello there", 1)]
    assert it.errors == []
    await it.stream.aclose()


@virtual_time
async def test_of_a_long_segment_the_newest_is_kept() -> None:
    it = Listener(ScriptedSTT(faults=[fail(1)], interim_lag_s=None), ScriptedSTT())
    it.stream.push(AudioFrame.silence(30_000, RATE))
    it.stream.push(AudioFrame.silence(40_000, RATE))
    it.stream.push(spoken("at last"))
    it.stream.flush()
    await elapse(1.0)
    final = it.events[-1]
    assert isinstance(final, Final)
    assert final.text == "at last"
    assert final.words[0].start_position_samples == pytest.approx(70 * RATE, abs=2)
    await it.stream.aclose()


@virtual_time
async def test_closing_in_the_middle_of_a_switch_leaves_nothing() -> None:
    it = Listener(ScriptedSTT(faults=[fail(1)]), ScriptedSTT())
    it.stream.push(spoken("hello"))
    it.stream.flush()
    await elapse(0.05)
    await it.stream.aclose()
    await it.stream.aclose()
    it.stream.push(spoken("hello"))
    it.stream.flush()
    await it.stt.prewarm()
    await it.stt.aclose()


@virtual_time
async def test_interims_come_from_the_one_in_use() -> None:
    it = Listener(ScriptedSTT(faults=[fail(1, after=1)]), ScriptedSTT())
    await it.hear("one two three")
    await elapse(1.0)
    texts = [event.text for event in it.events if isinstance(event, Interim)]
    assert texts[0] == "one"
    assert texts[-1] == "one two", "the last word was in the final before its interim came"
    await it.stream.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
