"""A detector that reads a tape."""

from __future__ import annotations

import asyncio

from repartee.clock import Clock
from repartee.server.hearing.detection import AHEAD_S, Detection
from repartee.server.hearing.tape import Tape
from repartee.testing import Fault, ScriptedVAD, elapse, fail, speech, stall, virtual_time

RATE = 24_000


class Stage:
    """A tape, and a detector that reads it."""

    def __init__(self, *faults: Fault, lag_s: float = 0.0) -> None:
        self.vad = ScriptedVAD(faults=faults, lag_s=lag_s)
        self.tape = Tape(RATE, 2)
        self.told: list[tuple[float, int]] = []
        self.errors: list[str] = []
        self.detection = Detection(
            self.vad,
            self.tape,
            clock=Clock(asyncio.get_running_loop().time),
            on_window=lambda p, end_s: self.told.append((p, round(end_s * 1000))),
            on_error=lambda error: self.errors.append(str(error)),
        )

    def append(self, seconds: float, *, loud: bool = False) -> None:
        count = round(seconds * RATE)
        self.tape.append(speech.noise(count) if loud else bytes(2 * count))
        self.detection.pump()


@virtual_time
async def test_each_window_is_told_once_with_its_end() -> None:
    stage = Stage()
    for _ in range(16):
        stage.append(0.02)
        await elapse(0.02)
    assert [end for _, end in stage.told] == list(range(32, 321, 32))
    assert stage.detection.heard_s == 0.32
    assert stage.detection.caught_up
    await stage.detection.aclose()
    assert stage.vad.open_streams == 0


@virtual_time
async def test_there_is_nothing_to_do_before_a_window_is_whole() -> None:
    stage = Stage()
    stage.append(0.04)
    dues = []
    for _ in range(8):
        await elapse(0.02)
        dues.append(stage.detection.due)
        stage.append(0.02)
    window = RATE * 32 // 1000
    assert dues == [n * window for n in (2, 2, 3, 4, 4, 5, 6, 6)]
    stage.detection.close()
    assert stage.detection.due == 0, "a new one is to be opened"
    await stage.detection.aclose()


@virtual_time
async def test_no_more_is_pushed_than_a_detector_keeps() -> None:
    stage = Stage(lag_s=0.1)
    stage.append(10.0)
    pushed = [0.0]
    for _ in range(100):
        stream = stage.vad.streams[0]
        pushed.append((stream._position + len(stream._pending) // 2) / RATE - stage.detection.heard_s)
        await elapse(0.05)
    assert max(pushed) <= AHEAD_S
    assert len(stage.told) == int(10.0 / 0.032)
    await stage.detection.aclose()


@virtual_time
async def test_a_successor_hears_what_was_owed() -> None:
    stage = Stage(fail(1, after=20))
    stage.append(1.0)
    await elapse(0.1)
    assert len(stage.errors) == 1
    stage.append(0.02, loud=True)
    await elapse(0.1)
    ends = [end for _, end in stage.told]
    assert ends == list(range(32, ends[-1] + 1, 32))
    assert ends[-1] > 960
    await stage.detection.aclose()


@virtual_time
async def test_audio_at_which_every_detector_fails_is_left_out() -> None:
    stage = Stage(fail(1, after=0), fail(2, after=0))
    for _ in range(100):
        stage.append(0.02)
        await elapse(0.02)
    assert len(stage.errors) == 2
    assert len(stage.vad.streams) == 3
    assert stage.told[-1][1] > 1900
    await stage.detection.aclose()


@virtual_time
async def test_one_that_stalls_is_replaced() -> None:
    stage = Stage(stall(1, after=5))
    for _ in range(150):
        stage.append(0.02)
        await elapse(0.02)
    assert stage.errors == ["the VAD has given nothing for 2 s"]
    assert stage.detection.caught_up
    await stage.detection.aclose()


@virtual_time
async def test_another_tape_is_read_from_where_it_was_left() -> None:
    stage = Stage()
    stage.append(0.1)
    await elapse(0.1)
    tape = Tape(8000, 2)
    tape.append(bytes(2 * 1600))
    stage.detection.read(tape, tape.to_sample(stage.detection.heard_s))
    stage.detection.pump()
    await elapse(0.1)
    assert [end for _, end in stage.told] == [32, 64, 96, 128, 160, 192]
    assert stage.vad.open_streams == 1
    stage.detection.close()
    await elapse(0.0)
    assert stage.vad.open_streams == 0
    await stage.detection.aclose()
