"""Files as caller and loudspeaker, on virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from repartee.audio import AudioFrame, read_audio, write_audio
from repartee.errors import AudioFormatError, StateError
from repartee.io import PlaybackPosition
from repartee.testing import elapse, run, virtual_time
from repartee.testing.conformance_audio_output import AUDIO_OUTPUT_CHECKS, AudioOutputCheck, tone
from repartee.transports.file import FileInput, RecordedInput, RecordingOutput
from repartee.transports.recorder import CallRecorder


def file_of(path: Path, duration_ms: float, rate: int = 24_000) -> Path:
    write_audio(path, tone(rate, duration_ms))
    return path


async def collect(source: FileInput) -> list[tuple[float, AudioFrame]]:
    loop = asyncio.get_running_loop()
    return [(loop.time(), frame) async for frame in source]


def loud_ranges(data: bytes, rate: int) -> list[tuple[int, int]]:
    """Stretches in ms that are not silent for 50 ms."""
    loud = np.flatnonzero(np.abs(np.frombuffer(data, "<i2").astype(int)) > 300)
    if not len(loud):
        return []
    edges = np.flatnonzero(np.diff(loud) > rate // 20)
    starts, ends = np.r_[loud[0], loud[edges + 1]], np.r_[loud[edges], loud[-1]]
    return [(round(a * 1000 / rate), round(b * 1000 / rate)) for a, b in zip(starts, ends, strict=True)]


# -- FileInput -------------------------------------------------------------------------------------------------


def test_files_play_one_after_another_with_silence_around(tmp_path: Path) -> None:
    paths = [file_of(tmp_path / "a.wav", 500), file_of(tmp_path / "b.wav", 300, 16_000)]
    source = FileInput(paths, lead_ms=100, gap_ms=1000, trailing_ms=400)

    @virtual_time
    async def body() -> list[tuple[float, AudioFrame]]:
        return await collect(source)

    frames = body()
    data = b"".join(frame.data for _, frame in frames)
    assert loud_ranges(data, 24_000) == [(100, 600), (1600, 1900)]
    assert len(data) // 2 == 55_200
    assert [round(at, 6) for at, _ in frames[:3]] == [0.02, 0.04, 0.06]
    assert frames[-1][0] == pytest.approx(2.3)
    assert [frame.position_samples for _, frame in frames] == list(range(0, len(data) // 2, 480))
    first, second = source.played
    assert (first.start_samples, first.end_samples) == (2400, 14_400)
    assert (second.start_samples, second.end_samples) == (38_400, 45_600)
    assert first.speech_end_samples == pytest.approx(14_400, abs=24)


@virtual_time
async def test_play_begins_in_the_next_frame(tmp_path: Path) -> None:
    source = FileInput()
    path = file_of(tmp_path / "a.wav", 200)
    task = asyncio.create_task(collect(source))
    await elapse(0.999)
    played = source.play(path)
    await played.finished()
    # The frame that ends at 1.0 s was under way.
    assert played.start_samples == 24_000
    assert played.end_samples == 28_800
    await elapse(0.1)
    await source.aclose()
    frames = await task
    assert loud_ranges(b"".join(frame.data for _, frame in frames), 24_000) == [(1000, 1200)]


@virtual_time
async def test_play_waits_behind_what_plays(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.wav", 200)
    source = FileInput(path, gap_ms=500, trailing_ms=0)
    second = source.play(path, after_ms=40)
    third = source.play(path)
    await collect(source)
    assert (second.start_samples, third.start_samples) == (240 * 24, (240 + 200 + 500) * 24)
    with pytest.raises(StateError):
        source.play(path)


@virtual_time
async def test_closing_ends_iteration_and_waiters(tmp_path: Path) -> None:
    source = FileInput(file_of(tmp_path / "a.wav", 5000))
    task = asyncio.create_task(collect(source))
    waiter = asyncio.create_task(source.played[0].finished())
    await elapse(0.11)
    await source.aclose()
    await source.aclose()
    assert len(await task) == 5
    await waiter


@virtual_time
async def test_a_cancelled_reader_loses_no_frame(tmp_path: Path) -> None:
    source = FileInput(file_of(tmp_path / "a.wav", 100), trailing_ms=0)
    frame = await anext(source)
    task = asyncio.ensure_future(anext(source))
    await elapse(0.005)
    task.cancel()
    await asyncio.wait([task])
    rest = await collect(source)
    assert frame.end_samples == rest[0][1].position_samples
    assert len(rest) == 4


@virtual_time
async def test_without_pacing_no_time_passes(tmp_path: Path) -> None:
    source = FileInput(file_of(tmp_path / "a.wav", 1000), trailing_ms=0, realtime=False)
    assert len(await collect(source)) == 50
    assert asyncio.get_running_loop().time() == 0.0


def test_what_is_no_sound_file_is_refused_at_once(tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("this is not sound")
    good = file_of(tmp_path / "good.wav", 100)
    for path in (bad, tmp_path / "missing.wav"):
        with pytest.raises(AudioFormatError):
            FileInput([good, path])


# -- RecordingOutput -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", AUDIO_OUTPUT_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("rate", [8000, 24_000])
def test_conformance(check: AudioOutputCheck, rate: int) -> None:
    run(check(lambda: RecordingOutput(sample_rate=rate)))


class Opened:
    """An open output whose audible samples are kept."""

    def __init__(self, path: Path) -> None:
        self.recorder = CallRecorder(path, start_s=0.0)
        self.output = RecordingOutput(self.recorder)
        self.positions: list[tuple[float, PlaybackPosition]] = []
        self.output.open(on_position=self._on_position, on_error=self._on_error)

    def _on_position(self, position: PlaybackPosition) -> None:
        self.positions.append((asyncio.get_running_loop().time(), position))

    def _on_error(self, error: Exception) -> None:
        raise error


@virtual_time
async def test_positions_come_every_ptime_and_when_it_runs_dry(tmp_path: Path) -> None:
    it = Opened(tmp_path / "a.wav")
    it.output.write(tone(24_000, 50))
    await elapse(1.0)
    assert [(round(at, 6), p.position_samples) for at, p in it.positions] == [
        (0.02, 480), (0.04, 960), (0.05, 1200),
    ]  # fmt: skip
    await it.output.aclose()
    it.recorder.close()


@virtual_time
async def test_pause_and_clear_are_exact_to_the_sample(tmp_path: Path) -> None:
    it = Opened(tmp_path / "a.wav")
    it.output.write(tone(24_000, 1000))
    await elapse(0.1234)
    it.output.pause()
    assert it.output.position_samples == 2961  # 123.4 ms at 24 kHz, whole samples
    await elapse(0.5)
    it.output.resume()
    await elapse(0.1)
    it.output.clear()
    await elapse(0.0)
    assert it.positions[-1][1] == PlaybackPosition(2961 + 2400, cleared=True)
    await it.output.aclose()
    it.recorder.close()
    heard = read_audio(tmp_path / "a.wav", mono=False).as_array()[:, 1]
    assert loud_ranges(heard.tobytes(), 24_000) == [(0, 123), (623, 723)]


@virtual_time
async def test_gain_is_heard(tmp_path: Path) -> None:
    it = Opened(tmp_path / "a.wav")
    it.output.write(tone(24_000, 400))
    await elapse(0.2)
    it.output.set_gain(-20.0)
    await elapse(0.3)
    it.output.clear()  # turns it up again
    it.output.write(tone(24_000, 100))
    await elapse(0.2)
    await it.output.aclose()
    it.recorder.close()
    heard = read_audio(tmp_path / "a.wav", mono=False).as_array()[:, 1].astype(int)
    loud = [int(np.abs(heard[at * 24 : (at + 50) * 24]).max()) for at in (100, 300, 520)]
    assert loud[0] == pytest.approx(8000, abs=10)
    assert loud[1] == pytest.approx(800, abs=10)
    assert loud[2] == pytest.approx(8000, abs=10)


@virtual_time
async def test_what_waits_is_bounded(tmp_path: Path) -> None:
    output = RecordingOutput(limit_s=1.0)
    with pytest.raises(StateError, match="open"):
        output.write(tone(24_000, 10))
    output.open(on_position=lambda _: None, on_error=lambda _: None)
    output.write(tone(24_000, 900))
    with pytest.raises(StateError, match="max_lead_ms"):
        output.write(tone(24_000, 200))
    assert output.queued_samples == 21_600
    await output.aclose()


# -- both ends on one axis -------------------------------------------------------------------------------------


@virtual_time
async def test_caller_and_agent_lie_on_one_axis(tmp_path: Path) -> None:
    recorder = CallRecorder(tmp_path / "call.wav")
    source = RecordedInput(
        FileInput(
            file_of(tmp_path / "a.wav", 300, 16_000), sample_rate=16_000, lead_ms=500, trailing_ms=1000
        ),
        recorder,
    )
    output = RecordingOutput(recorder)
    output.open(on_position=lambda _: None, on_error=lambda _: None)

    async def answer() -> None:
        await elapse(1.0)
        output.write(tone(24_000, 250))

    task = asyncio.create_task(answer())
    async for _ in source:
        pass
    await task
    await output.aclose()
    await source.aclose()
    recorder.close()
    both = read_audio(tmp_path / "call.wav", mono=False)
    assert both.channels == 2
    assert loud_ranges(both.as_array()[:, 0].tobytes(), 24_000) == [(500, 800)]
    assert loud_ranges(both.as_array()[:, 1].tobytes(), 24_000) == [(1000, 1250)]
    assert both.duration_s == pytest.approx(1.8, abs=0.002)
