"""Microphone and loudspeaker, with a sound card that calls back as PortAudio does, on virtual time."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from repartee.audio import AudioFrame, read_audio
from repartee.errors import AudioFormatError, DeviceError, MissingDependencyError, ReparteeError, StateError
from repartee.io import PlaybackPosition
from repartee.testing import elapse, run, virtual_time
from repartee.testing.conformance_audio_output import AUDIO_OUTPUT_CHECKS, AudioOutputCheck, tone
from repartee.transports.console import Console, ConsoleOutput, find_devices, open_console
from repartee.transports.portaudio import BlockTiming, OnBlock
from repartee.transports.recorder import CallRecorder


class FakeCard:
    """A sound card: every 10 ms a block, with latencies; what it plays comes back through the air.

    Args:
        sample_rate: in Hz.
        output_s: latency of the loudspeaker.
        input_s: latency of the microphone.
        clock_s: what its clock says at loop time 0.
    """

    def __init__(
        self,
        sample_rate: int = 24_000,
        *,
        output_s: float = 0.03,
        input_s: float = 0.02,
        clock_s: float = 1000.0,
    ) -> None:
        self.sample_rate = sample_rate
        self.block_samples = sample_rate // 100
        self.played: list[bytes] = []
        self.starts = 0
        self.microphone = bytes(2 * self.block_samples)
        self._latencies = (output_s, input_s)
        self._clock_s = clock_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self, on_block: OnBlock, on_stopped: Callable[[str], None]) -> None:
        self.starts += 1
        self._on_block, self._on_stopped = on_block, on_stopped
        self._loop = asyncio.get_running_loop()
        self._begun_s = self._loop.time()
        self._timer = self._loop.call_at(self._begun_s, self._tick, 1)

    def _tick(self, count: int) -> None:
        self._timer = self._loop.call_at(self._begun_s + count / 100, self._tick, count + 1)
        now_s = self._clock_s + self._loop.time()
        timing = BlockTiming(now_s, now_s - self._latencies[1], now_s + self._latencies[0])
        self.played.append(self._on_block(self.microphone, timing))

    def stop(self) -> None:
        self.freeze()

    def freeze(self) -> None:
        """No more blocks, without a word."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def unplug(self) -> None:
        """Stop by itself, as PortAudio says it."""
        self.freeze()
        self._on_stopped("the sound device stopped: was it unplugged?")


def console(card: FakeCard) -> Console:
    return Console(card, echo_cancellation=False)


@pytest.mark.parametrize("check", AUDIO_OUTPUT_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_conformance(check: AudioOutputCheck, rate: int) -> None:
    def make() -> ConsoleOutput:
        both = console(FakeCard(rate))
        # Only the loudspeaker is used here: the microphone's end counts as closed.
        both.input.closed = True
        return both.output

    run(check(make))


async def opened(card: FakeCard) -> tuple[Console, list[tuple[float, PlaybackPosition]]]:
    both = console(card)
    loop = asyncio.get_running_loop()
    positions: list[tuple[float, PlaybackPosition]] = []

    def on_position(position: PlaybackPosition) -> None:
        positions.append((round(loop.time(), 6), position))

    both.output.open(on_position=on_position, on_error=lambda error: pytest.fail(str(error)))
    return both, positions


async def close(both: Console) -> None:
    await both.input.aclose()
    await both.output.aclose()


@virtual_time
async def test_heard_is_what_the_device_clock_says() -> None:
    both, positions = await opened(FakeCard(output_s=0.05))
    both.output.write(tone(24_000, 20))
    await elapse(0.5)
    # Handed over at 0 and 10 ms, each sounds 50 ms later for 10 ms, and is reported with the block after that.
    assert [(at, p.position_samples) for at, p in positions] == [(0.06, 240), (0.07, 480)]
    await close(both)


@virtual_time
async def test_a_clear_is_answered_when_the_last_sample_has_sounded() -> None:
    card = FakeCard(output_s=0.05)
    both, positions = await opened(card)
    both.output.write(tone(24_000, 1000))
    await elapse(0.105)
    both.output.clear()
    await elapse(0.5)
    at, last = positions[-1]
    # Eleven blocks were handed over by then (at 0 to 100 ms); the last one ends 160 ms after the start.
    assert last == PlaybackPosition(11 * 240, cleared=True)
    assert at == pytest.approx(0.16)
    loud = [index for index, block in enumerate(card.played) if any(block)]
    assert loud[-1] == 10
    await close(both)


@virtual_time
async def test_pause_stops_with_the_block_under_way() -> None:
    card = FakeCard()
    both, _ = await opened(card)
    both.output.write(tone(24_000, 1000))
    await elapse(0.105)
    both.output.pause()
    await elapse(0.1)
    both.output.resume()
    await elapse(0.05)
    silent = [index for index, block in enumerate(card.played) if not any(block)]
    assert silent == list(range(11, 21))
    await close(both)


@virtual_time
async def test_a_block_that_is_not_full_is_filled_with_silence_that_does_not_count() -> None:
    card = FakeCard()
    both, positions = await opened(card)
    both.output.write(tone(24_000, 15))
    await elapse(0.2)
    assert [len(block) for block in card.played] == [480] * len(card.played)
    assert positions[-1][1].position_samples == 360
    await close(both)


@virtual_time
async def test_gain_is_ramped() -> None:
    card = FakeCard()
    both, _ = await opened(card)
    both.output.write(AudioFrame(np.full(24_000, 8000, "<i2").tobytes(), 24_000))
    await elapse(0.105)
    both.output.set_gain(-20.0)
    await elapse(0.1)
    samples = np.frombuffer(b"".join(card.played), "<i2").astype(int)
    assert samples[2000] == 8000
    assert samples[-1] == pytest.approx(800, abs=2)
    assert np.abs(np.diff(samples)).max() < 40  # 7200 over 10 ms
    await close(both)


@virtual_time
async def test_the_microphone_gives_10_ms_frames() -> None:
    card = FakeCard()
    card.microphone = tone(24_000, 10).data
    both = console(card)
    frames = []
    async for frame in both.input:
        frames.append(frame)
        if len(frames) == 50:
            await both.input.aclose()
    assert [frame.position_samples for frame in frames] == [240 * i for i in range(50)]
    assert all(frame.data == card.microphone for frame in frames)
    await both.output.aclose()
    assert card._timer is None
    assert card.starts == 1


@virtual_time
async def test_nobody_listening_drops_the_oldest_and_counts() -> None:
    both, _ = await opened(FakeCard())
    await elapse(5.0)
    frame = await anext(both.input)
    # 2 s are kept.
    assert both.input.dropped_samples == pytest.approx(3 * 24_000, abs=480)
    assert frame.position_samples == both.input.dropped_samples
    await close(both)


@pytest.mark.parametrize("how", ["unplug", "freeze"])
def test_a_device_that_goes_away_is_told_at_both_ends(how: str) -> None:
    async def body() -> None:
        card = FakeCard()
        both = console(card)
        errors: list[ReparteeError] = []
        both.output.open(on_position=lambda _: None, on_error=errors.append)
        task = asyncio.create_task(read(both))
        await elapse(0.5)
        getattr(card, how)()
        await elapse(5.0)
        with pytest.raises(DeviceError, match="unplugged"):
            await task
        assert [type(error) for error in errors] == [DeviceError]
        with pytest.raises(DeviceError):
            both.start()
        await close(both)

    async def read(both: Console) -> None:
        async for _ in both.input:
            pass

    run(body())


@virtual_time
async def test_closing_one_end_leaves_the_other() -> None:
    card = FakeCard()
    both, positions = await opened(card)
    await both.input.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(both.input)
    both.output.write(tone(24_000, 100))
    await elapse(0.3)
    assert positions[-1][1].position_samples == 2400
    await both.output.aclose()
    await both.output.aclose()
    assert card._timer is None


@virtual_time
async def test_wrong_calls_are_refused() -> None:
    both = console(FakeCard())
    with pytest.raises(StateError, match="open"):
        both.output.write(tone(24_000, 10))
    both.output.open(on_position=lambda _: None, on_error=lambda _: None)
    with pytest.raises(AudioFormatError, match="24000"):
        both.output.write(tone(16_000, 10))
    both.output.write(AudioFrame.silence(119_000, 24_000))
    with pytest.raises(StateError, match="max_lead_ms"):
        both.output.write(AudioFrame.silence(2000, 24_000))
    await close(both)


def test_a_foreign_thread_may_call_back() -> None:
    """As PortAudio does it: in its own thread, faster than the loop may look."""

    class Threaded(FakeCard):
        def start(self, on_block: OnBlock, on_stopped: Callable[[str], None]) -> None:
            self.thread = threading.Thread(target=self._main, args=(on_block,))
            self.thread.start()

        def _main(self, on_block: OnBlock) -> None:
            for i in range(150):
                self.played.append(on_block(self.microphone, BlockTiming(i / 100, i / 100, i / 100)))

        def stop(self) -> None:
            self.thread.join()

    async def body() -> None:
        card = Threaded()
        both = Console(card, echo_cancellation=False)
        positions: list[PlaybackPosition] = []
        heard = asyncio.Event()

        def on_position(position: PlaybackPosition) -> None:
            assert threading.current_thread() is threading.main_thread()
            positions.append(position)
            if position.position_samples == 1200:
                heard.set()

        both.output._playout.put(tone(24_000, 50))
        both.output.open(on_position=on_position, on_error=lambda error: pytest.fail(str(error)))
        frames = [await anext(both.input) for _ in range(150)]
        await asyncio.wait_for(heard.wait(), 10)
        assert [frame.position_samples for frame in frames] == [240 * i for i in range(150)]
        assert [p.position_samples for p in positions] == sorted(p.position_samples for p in positions)
        await close(both)

    asyncio.run(body())


def test_echo_cancellation_that_is_asked_for_must_be_there() -> None:
    if importlib.util.find_spec("livekit") is None:
        with pytest.raises(MissingDependencyError, match=r"repartee\[talk\]"):
            Console(FakeCard(), echo_cancellation=True)
        assert Console(FakeCard()).echo is None
    else:
        assert Console(FakeCard()).echo is not None
    assert Console(FakeCard(), echo_cancellation=False).echo is None


@virtual_time
async def test_the_canceller_gets_what_is_played_before_what_is_captured() -> None:
    calls: list[tuple[str, bytes, float]] = []

    class Canceller:
        def far(self, block: bytes) -> None:
            calls.append(("far", block, 0.0))

        def near(self, block: bytes, *, delay_ms: float) -> bytes:
            calls.append(("near", block, delay_ms))
            return b"\x01\x00" * (len(block) // 2)

    card = FakeCard(output_s=0.03, input_s=0.02)
    both = console(card)
    both.echo = Canceller()  # type: ignore[assignment]
    both.output.open(on_position=lambda _: None, on_error=lambda _: None)
    both.output.write(tone(24_000, 20))
    frame = await anext(both.input)
    assert frame.data == b"\x01\x00" * 240
    assert [name for name, _, _ in calls[:2]] == ["far", "near"]
    assert calls[0][1] == card.played[0]
    assert calls[1][2] == pytest.approx(50.0)
    await close(both)


@virtual_time
async def test_what_is_played_is_recorded_when_it_sounds(tmp_path: Path) -> None:
    recorder = CallRecorder(tmp_path / "a.wav", start_s=0.0)
    both = Console(FakeCard(output_s=0.05), echo_cancellation=False, recorder=recorder)
    both.output.open(on_position=lambda _: None, on_error=lambda _: None)
    await elapse(0.195)
    both.output.write(tone(24_000, 333))
    await elapse(0.6)
    await close(both)
    recorder.close()
    right = np.abs(read_audio(tmp_path / "a.wav", mono=False).as_array()[:, 1].astype(int))
    loud = np.flatnonzero(right > 100)
    # Written at 195 ms, taken with the block at 200 ms, heard 50 ms later.
    assert loud[0] == pytest.approx(0.25 * 24_000, abs=24)
    assert loud[-1] == pytest.approx(0.583 * 24_000, abs=24)


def test_the_systems_devices_are_found_or_it_says_why_not() -> None:
    said = ""
    try:
        names = find_devices()
        microphone, loudspeaker = open_console(echo_cancellation=False)
    except (MissingDependencyError, DeviceError) as error:
        said = str(error)
    else:
        assert all(names)
        assert microphone.sample_rate == loudspeaker.sample_rate
    assert not said or any(fix in said for fix in ("pip install", "python -m sounddevice"))
