"""Which of the caller's audio is part of a turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from repartee.audio import AudioFrame
from repartee.clock import Clock
from repartee.compose.input_gate import InputGate, Preroll
from repartee.models import events as ev
from repartee.testing import Fault, ScriptedVAD, elapse, fail, sleep_until, speech, stall, virtual_time
from repartee.turns import SpeechGateOptions, facts

RATE = 24_000


class Owner:
    """Collects facts, events and the audio that passes."""

    def __init__(self) -> None:
        self.clock = Clock(asyncio.get_running_loop().time)
        self.facts: list[tuple[float, facts.Fact]] = []
        self.events: list[ev.RealtimeEvent] = []
        self.passed: list[AudioFrame] = []
        self.inner: Any = self
        self.gate: InputGate

    def append_audio(self, frame: AudioFrame) -> None:
        self.passed.append(frame)

    def feed(self, fact: facts.Fact) -> None:
        self.facts.append((round(self.clock.now() * 1000), fact))
        match fact:
            case facts.SpeechBegan(at_s=at_s):
                self.gate.open(at_s)
            case facts.SpeechEnded():
                self.gate.close()
            case _:
                pass

    def emit(self, event: ev.RealtimeEvent) -> None:
        self.events.append(event)

    @property
    def edges(self) -> list[tuple[float, str, float]]:
        return [(at, type(f).__name__, round(getattr(f, "at_s", 0) * 1000)) for at, f in self.facts]


def gate_of(owner: Owner, *faults: Fault, padding_ms: float = 300.0) -> InputGate:
    owner.gate = InputGate(owner, ScriptedVAD(faults=faults), SpeechGateOptions(), padding_ms)
    return owner.gate


async def play(gate: InputGate, *, until_s: float, sound: tuple[tuple[float, float], ...]) -> None:
    """Frames of 20 ms from now (time 0) on, with noise between the given times."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for index in range(round(until_s * 50)):
        at_s = index / 50
        loud = any(begin <= at_s + 1e-9 < end for begin, end in sound)
        await sleep_until(start + (index + 1) / 50)
        data = speech.noise(480) if loud else bytes(960)
        gate.append(AudioFrame(data, RATE, position_samples=index * 480))


@virtual_time
async def test_edges_are_dated_where_they_are_not_when_they_are_noticed() -> None:
    owner = Owner()
    gate = gate_of(owner)
    await play(gate, until_s=3.0, sound=((0.96, 1.6),))
    assert owner.edges == [(1000, "Onset", 960), (1060, "SpeechBegan", 960), (1680, "SpeechEnded", 1600)]
    await gate.aclose()


@virtual_time
async def test_what_passes_begins_before_the_speech_and_ends_with_it() -> None:
    owner = Owner()
    gate = gate_of(owner)
    await play(gate, until_s=3.0, sound=((0.96, 1.6),))
    first, last = owner.passed[0], owner.passed[-1]
    assert first.position_samples == 0.66 * RATE  # 300 ms before
    assert last.end_samples == 1.68 * RATE
    positions = [frame.position_samples for frame in owner.passed]
    assert positions == list(range(positions[0], last.end_samples, 480))  # without a gap
    await gate.aclose()


@virtual_time
async def test_a_click_passes_nothing() -> None:
    owner = Owner()
    gate = gate_of(owner)
    await play(gate, until_s=2.0, sound=((0.96, 1.0),))
    assert [kind for _, kind, _ in owner.edges] == ["Onset", "OnsetDropped"]
    assert owner.passed == []
    await gate.aclose()


@virtual_time
async def test_a_detector_that_fails_is_replaced_at_once_and_the_next_time_in_a_second() -> None:
    owner = Owner()
    gate = gate_of(owner, fail(1, after=0), fail(2, after=0))
    await play(gate, until_s=3.0, sound=((2.0, 2.5),))
    assert [type(e).__name__ for e in owner.events] == ["ErrorOccurred", "ErrorOccurred"]
    vad: Any = gate._vad
    assert len(vad.streams) == 3
    assert vad.open_streams == 1
    assert [kind for _, kind, _ in owner.edges][-3:] == ["Onset", "SpeechBegan", "SpeechEnded"]
    await gate.aclose()
    assert vad.open_streams == 0


@virtual_time
async def test_a_detector_that_owes_results_for_two_seconds_is_replaced() -> None:
    owner = Owner()
    gate = gate_of(owner, stall(1, after=10))
    await play(gate, until_s=4.0, sound=())
    told = [str(event.error) for event in owner.events if isinstance(event, ev.ErrorOccurred)]
    assert told == ["the VAD has given nothing for 2 s"]
    await gate.aclose()


@virtual_time
async def test_audio_that_comes_all_at_once_is_no_stall() -> None:
    owner = Owner()
    owner.gate = gate = InputGate(owner, ScriptedVAD(lag_s=0.3), SpeechGateOptions(), 300.0)
    await play(gate, until_s=1.0, sound=())
    await elapse(5.0)  # the line is held up
    for index in range(250):
        gate.append(AudioFrame(bytes(960), RATE, position_samples=(50 + index) * 480))
    await elapse(1.0)
    await gate.aclose()
    assert not owner.events


@virtual_time
async def test_speech_that_breaks_off_ends_a_second_later_where_it_broke() -> None:
    owner = Owner()
    gate = gate_of(owner)
    await play(gate, until_s=1.4, sound=((0.96, 9.0),))
    await elapse(3.0)
    assert owner.edges[-1:] == [(2400, "SpeechEnded", 1400)]
    await gate.aclose()


@virtual_time
async def test_edges_never_go_back() -> None:
    owner = Owner()
    gate = gate_of(owner, fail(1, after=40))
    await play(gate, until_s=3.0, sound=((0.96, 1.6), (2.0, 2.4)))
    dated = [at for _, kind, at in owner.edges if kind != "OnsetDropped"]
    assert dated == sorted(dated)
    await gate.aclose()


# -- what precedes speech --------------------------------------------------------------------------------------


def frames(count: int) -> list[AudioFrame]:
    return [AudioFrame(bytes(960), RATE, position_samples=480 * index) for index in range(count)]


@pytest.mark.parametrize("last_s, count", [(0.0, 0), (0.02, 1), (0.03, 2), (0.1, 5), (9.0, 15)])
def test_a_preroll_gives_the_frames_that_reach_into_the_last_seconds(last_s: float, count: int) -> None:
    preroll = Preroll(0.3)
    given = frames(100)
    for frame in given:
        preroll.append(frame)
    assert preroll.take(last_s) == given[100 - count :]
    assert preroll.take(9.0) == []
