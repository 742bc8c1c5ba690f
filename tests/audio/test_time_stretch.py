"""Speech faster or slower at the same pitch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from repartee.audio import AudioFrame
from repartee.audio.time_stretch import TimeStretch
from repartee.errors import AudioFormatError

RATE = 24_000


def voice(duration_s: float = 2.0) -> npt.NDArray[np.int16]:
    """Something like a vowel: harmonics of a gliding 120 Hz."""
    t = np.arange(round(duration_s * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 * (1 + 0.1 * np.sin(4 * np.pi * t))) / RATE
    wave = sum(np.sin(k * phase) / k for k in range(1, 15))
    return np.asarray(wave * 4000, dtype=np.int16)


def stretched(samples: npt.NDArray[np.int16], speed: float, step: int = 480) -> npt.NDArray[np.int16]:
    """The whole, pushed in pieces."""
    stretch = TimeStretch(RATE, speed)
    frames = [
        stretch.push(AudioFrame(samples[at : at + step].tobytes(), RATE))
        for at in range(0, len(samples), step)
    ]
    frames.append(stretch.flush())
    position = 0
    for frame in frames:
        assert frame.position_samples == position
        position = frame.end_samples
    return np.concatenate([frame.as_array() for frame in frames])


def pitch_hz(samples: npt.NDArray[np.int16]) -> float:
    """Of a stretch of 0.5 s, where the pitch is steady on the whole."""
    piece = samples[len(samples) // 2 - RATE // 4 :][: RATE // 2].astype(float)
    likeness = np.correlate(piece, piece, "full")[len(piece) - 1 :]
    shortest = RATE // 200
    return float(RATE / (shortest + np.argmax(likeness[shortest : RATE // 70])))


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.8, 1.0, 1.25, 1.5, 4.0])
def test_the_length_changes_and_the_pitch_stays(speed: float) -> None:
    samples = voice()
    made = stretched(samples, speed)
    assert len(made) == round(len(samples) / speed)
    assert abs(pitch_hz(made) - 120) < 12
    assert np.std(made.astype(float)) == pytest.approx(np.std(samples.astype(float)), rel=0.05)


@pytest.mark.parametrize("speed", [0.5, 1.5])
def test_no_click_at_the_seams(speed: float) -> None:
    samples = voice()
    steepest = np.abs(np.diff(samples.astype(int))).max()
    assert np.abs(np.diff(stretched(samples, speed).astype(int))).max() <= 1.3 * steepest


def test_how_the_stream_is_cut_makes_no_difference() -> None:
    samples = voice(0.7)
    whole = stretched(samples, 1.3, len(samples))
    assert np.array_equal(whole, stretched(samples, 1.3, 100))
    assert np.array_equal(whole, stretched(samples, 1.3, 7777))


def test_it_keeps_up_with_what_comes() -> None:
    stretch = TimeStretch(RATE, 0.5)
    samples = voice(0.5)
    given = sum(
        stretch.push(AudioFrame(samples[at : at + 480].tobytes(), RATE)).samples
        for at in range(0, len(samples), 480)
    )
    assert given >= (len(samples) - 0.06 * RATE) / 0.5


@pytest.mark.parametrize("length", [0, 1, 100, 719, 2000])
def test_short_sounds_have_their_length_too(length: int) -> None:
    assert len(stretched(voice(0.1)[:length], 0.5)) == length * 2
    assert len(stretched(voice(0.1)[:length], 1.5)) == round(length / 1.5)


def test_a_stretch_can_begin_anew() -> None:
    stretch = TimeStretch(RATE, 1.5)
    stretch.push(AudioFrame(voice(0.3).tobytes(), RATE))
    stretch.flush()
    assert stretch.push(AudioFrame(voice(0.3).tobytes(), RATE)).position_samples == 0


def test_what_it_can_not_take() -> None:
    with pytest.raises(AudioFormatError, match=r"speed of 0.1"):
        TimeStretch(RATE, 0.1)
    with pytest.raises(AudioFormatError, match="mono audio of 24000"):
        TimeStretch(RATE, 1.5).push(AudioFrame(b"", 8000))
