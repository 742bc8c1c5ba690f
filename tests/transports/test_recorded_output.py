"""What a loudspeaker has played is what is recorded, where it was played."""

from __future__ import annotations

from pathlib import Path

from repartee.audio import AudioFrame, read_audio
from repartee.testing import MemoryOutput, elapse, virtual_time
from repartee.transports.recorded_output import RecordedOutput
from repartee.transports.recorder import CallRecorder

RATE = 24_000


def _tone(samples: int, level: int) -> AudioFrame:
    return AudioFrame(level.to_bytes(2, "little") * samples, RATE)


def _right(path: Path) -> list[int]:
    stereo = read_audio(path, mono=False).as_array().reshape(-1, 2)
    return [int(sample) for sample in stereo[:, 1]]


def test_what_was_played_lies_where_it_was_played_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"

    @virtual_time
    async def call() -> None:
        recorder = CallRecorder(path, RATE)
        output = RecordedOutput(MemoryOutput(sample_rate=RATE), recorder)
        positions: list[int] = []
        output.open(on_position=lambda p: positions.append(p.position_samples), on_error=lambda _: None)
        await elapse(0.5)
        output.write(_tone(RATE, 1000))
        await elapse(0.4)
        output.clear()
        await elapse(0.1)
        output.write(_tone(RATE // 10, 500))
        await elapse(0.5)
        await output.aclose()
        recorder.close()
        assert positions[-1] == round(0.5 * RATE)

    call()
    right = _right(path)
    loud = [at for at, sample in enumerate(right) if sample]
    assert abs(loud[0] - 0.5 * RATE) <= 0.02 * RATE
    assert right.count(1000) == round(0.4 * RATE), "what was cleared was not recorded"
    assert right.count(500) == RATE // 10


def test_the_volume_of_the_moment_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"

    @virtual_time
    async def call() -> None:
        recorder = CallRecorder(path, RATE)
        output = RecordedOutput(MemoryOutput(sample_rate=RATE), recorder)
        output.open(on_position=lambda _: None, on_error=lambda _: None)
        output.set_gain(-20.0)
        output.write(_tone(RATE // 10, 1000))
        await elapse(0.5)
        await output.aclose()
        recorder.close()

    call()
    assert _right(path).count(100) == RATE // 10
