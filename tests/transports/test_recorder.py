"""The stereo recording of a call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from repartee.audio import AudioFrame, read_audio
from repartee.errors import ReparteeError, StateError
from repartee.testing.conformance_audio_output import tone
from repartee.transports.recorder import CallRecorder


def channels(path: Path) -> tuple[list[int], list[int]]:
    both = read_audio(path, mono=False).as_array()
    return both[:, 0].tolist(), both[:, 1].tolist()


def frame(values: list[int], rate: int = 24_000) -> AudioFrame:
    return AudioFrame(np.array(values, "<i2").tobytes(), rate)


def test_frames_lie_where_their_times_say(tmp_path: Path) -> None:
    recorder = CallRecorder(tmp_path / "a.wav", start_s=10.0)
    recorder.caller(frame([1, 2, 3]), 10.0)
    recorder.caller(frame([4, 5]), 10.0 + 3 / 24_000)
    recorder.agent(frame([7, 8]), 10.0 + 100 / 24_000)
    recorder.close()
    left, right = channels(tmp_path / "a.wav")
    assert left == [1, 2, 3, 4, 5] + [0] * 97
    assert right == [0] * 100 + [7, 8]


def test_jitter_leaves_no_seam_and_a_gap_is_silence(tmp_path: Path) -> None:
    recorder = CallRecorder(tmp_path / "a.wav", start_s=0.0)
    recorder.agent(frame([1] * 240), 0.0)
    recorder.agent(frame([2] * 240), 0.0115)  # 1.5 ms late: the next samples all the same
    recorder.agent(frame([3] * 240), 0.030)
    recorder.close()
    _, right = channels(tmp_path / "a.wav")
    assert right == [1] * 240 + [2] * 240 + [0] * 240 + [3] * 240


def test_what_was_before_the_start_is_left_out(tmp_path: Path) -> None:
    recorder = CallRecorder(tmp_path / "a.wav", start_s=1.0)
    recorder.caller(frame([1] * 480), 0.99)
    recorder.close()
    assert channels(tmp_path / "a.wav")[0] == [1] * 240
    assert recorder.late_samples == 0


def test_another_rate_is_resampled_to_its_place(tmp_path: Path) -> None:
    recorder = CallRecorder(tmp_path / "a.wav", start_s=0.0)
    for i in range(50):
        recorder.caller(tone(16_000, 500).slice(i * 160, (i + 1) * 160), 0.5 + i / 100)
    recorder.close(2.0)
    left = np.array(channels(tmp_path / "a.wav")[0])
    loud = np.flatnonzero(np.abs(left) > 1000)
    assert len(left) == 48_000
    assert loud[0] == pytest.approx(12_000, abs=24)
    assert loud[-1] == pytest.approx(24_000, abs=24)


def test_memory_is_bounded_and_latecomers_are_counted(tmp_path: Path) -> None:
    recorder = CallRecorder(tmp_path / "a.wav", start_s=0.0)
    second = frame([5] * 24_000)
    for at in range(20):
        recorder.caller(second, float(at))
        held = recorder._left.end - recorder._left._base
        assert held <= 3 * 24_000
    recorder.agent(second, 2.0)
    recorder.close()
    left, right = channels(tmp_path / "a.wav")
    assert left == [5] * 480_000
    assert right == [0] * 480_000
    assert recorder.late_samples == 24_000
    assert recorder.duration_s == 20.0


def test_the_file_is_there_before_it_is_closed(tmp_path: Path) -> None:
    recorder = CallRecorder(tmp_path / "a.wav", start_s=0.0)
    for at in range(10):
        recorder.caller(frame([5] * 24_000), float(at))
    assert read_audio(tmp_path / "a.wav").duration_s >= 7.0
    recorder.close()
    recorder.close()
    recorder.caller(frame([5]), 11.0)  # after the end: nothing


def test_a_full_disk_ends_the_recording_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[ReparteeError] = []
    recorder = CallRecorder(tmp_path / "a.wav", start_s=0.0, on_error=told.append)

    def full(_: AudioFrame) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder._writer, "write", full)
    for at in range(5):
        recorder.caller(frame([5] * 24_000), float(at))
    recorder.close()
    assert len(told) == 1
    assert "No space left" in str(recorder.error)


def test_stereo_is_refused(tmp_path: Path) -> None:
    recorder = CallRecorder(tmp_path / "a.wav", start_s=0.0)
    with pytest.raises(StateError, match="mono"):
        recorder.caller(AudioFrame.silence(20, 24_000, channels=2), 0.0)
    recorder.close()


def test_what_was_not_heard_after_all_is_silent(tmp_path: Path) -> None:
    recorder = CallRecorder(tmp_path / "a.wav", lag_s=5.0, start_s=0.0)
    recorder.agent(frame([9] * 24_000), 0.0)
    recorder.agent_unheard(0.25, 0.75)
    recorder.agent_unheard(0.9, 7.0)
    recorder.close()
    _, right = channels(tmp_path / "a.wav")
    assert right == [9] * 6000 + [0] * 12_000 + [9] * 3600 + [0] * 2400
