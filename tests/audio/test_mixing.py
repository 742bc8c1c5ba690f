from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.audio import AudioFrame, Gain, apply_gain, interleave, mix
from repartee.errors import AudioFormatError


def frame(*samples: int, rate: int = 8000, position: int = 0) -> AudioFrame:
    return AudioFrame.from_array(np.array(samples, np.int16), rate, position_samples=position)


def values(one: AudioFrame) -> list[Any]:
    return list(one.as_array().tolist())


def test_mix_saturates() -> None:
    mixed = mix(frame(30000, -30000, 5, position=3), frame(30000, -30000, -4), frame(30000, -30000, 1))
    assert values(mixed) == [32767, -32768, 2]
    assert mixed.position_samples == 3


def test_mix_sums_before_it_saturates() -> None:
    assert values(mix(frame(30000), frame(30000), frame(-30000))) == [30000]


def test_mix_pads_the_shorter() -> None:
    assert values(mix(frame(1), frame(1, 2, 3))) == [2, 2, 3]
    one = frame(1)
    assert mix(one) is one


@given(st.lists(st.lists(st.integers(-32768, 32767), max_size=20), min_size=2, max_size=4))
def test_mix_does_not_depend_on_the_order(tracks: list[list[int]]) -> None:
    frames = [frame(*track) for track in tracks]
    assert mix(*frames).data == mix(*reversed(frames)).data


def test_interleave() -> None:
    both = interleave(frame(1, 2, position=5), frame(-1))
    assert (both.channels, both.position_samples) == (2, 5)
    assert values(both) == [[1, -1], [2, 0]]


def test_gain_of_one_frame() -> None:
    one = frame(1000, -1000, 30000)
    assert apply_gain(one, 0.0) is one
    assert values(apply_gain(one, 6.0206)) == [2000, -2000, 32767]
    assert values(apply_gain(one, float("-inf"))) == [0, 0, 0]


def test_gain_ramps_without_a_click() -> None:
    gain = Gain(8000, ramp_ms=10)
    loud = frame(*[10000] * 160)
    assert gain.push(loud) is loud
    gain.set(-20)
    assert gain.is_ramping
    out = values(gain.push(loud))
    steps = np.diff([10000, *out])
    assert out[79:] == [1000] * 81
    assert steps.min() >= -113  # 9000 over 80 samples: no step is larger than the ramp's own
    assert not gain.is_ramping


def test_gain_turns_back_from_where_it_is() -> None:
    gain = Gain(8000, ramp_ms=10)
    loud = frame(*[10000] * 40)
    gain.set(float("-inf"))
    half = values(gain.push(loud))[-1]
    gain.set(0)
    out = values(gain.push(loud)) + values(gain.push(loud))
    assert half == 5000
    assert out[0] == pytest.approx(half, abs=70)
    assert out[-1] == 10000
    assert gain.push(loud) is loud


def test_gain_said_twice_does_not_take_longer() -> None:
    gain = Gain(8000, ramp_ms=10)
    loud = frame(*[10000] * 40)
    gain.set(-20)
    gain.push(loud)
    gain.set(-20)
    assert values(gain.push(loud))[-1] == 1000


def test_gain_without_a_ramp_jumps() -> None:
    gain = Gain(8000, gain_db=-20, ramp_ms=0)
    assert values(gain.push(frame(10000))) == [1000]
    gain.set(0)
    assert values(gain.push(frame(10000))) == [10000]


@given(st.lists(st.integers(0, 60), max_size=8), st.sampled_from([1, 2]))
def test_gain_does_not_depend_on_the_cuts(lengths: list[int], channels: int) -> None:
    total = AudioFrame.from_array(np.full((sum(lengths), channels), 12345, np.int16), 8000)
    whole, cut = (Gain(8000, channels, ramp_ms=7, gain_db=-3) for _ in range(2))
    whole.set(-30)
    cut.set(-30)
    pieces = b""
    for length in lengths:
        at = len(pieces) // 2 // channels
        pieces += cut.push(total.slice(at, at + length)).data
    assert pieces == whole.push(total).data


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(AudioFormatError, match="at least one"):
        mix()
    with pytest.raises(AudioFormatError, match="must be alike"):
        mix(frame(1), frame(1, rate=16000))
    with pytest.raises(AudioFormatError, match="mono"):
        interleave(AudioFrame(b"", 8000, 2), AudioFrame(b"", 8000, 2))
    with pytest.raises(AudioFormatError, match="takes 8000 Hz"):
        Gain(8000).push(frame(1, rate=16000))
    with pytest.raises(AudioFormatError, match=r"\+60"):
        apply_gain(frame(1), 61)
    with pytest.raises(AudioFormatError, match="number"):
        Gain(8000).set(float("nan"))
    with pytest.raises(AudioFormatError, match="ramp"):
        Gain(8000, ramp_ms=-1)
