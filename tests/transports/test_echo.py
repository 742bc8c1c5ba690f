"""Echo cancellation, on a synthetic echo."""

from __future__ import annotations

import importlib.util
import math
import sys

import numpy as np
import numpy.typing as npt
import pytest

from repartee.errors import AudioFormatError, MissingDependencyError
from repartee.transports.echo import EchoCanceller

Samples = npt.NDArray[np.float64]
livekit = pytest.mark.skipif(
    importlib.util.find_spec("livekit") is None, reason="needs the extra 'talk' (livekit)"
)


def voice(rate: int, seconds: float, seed: int, pitch_hz: float) -> Samples:
    """Something like speech: harmonics through moving formants, in syllables with pauses."""
    rng = np.random.default_rng(seed)
    count = round(rate * seconds)
    time = np.arange(count) / rate
    wobble = pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * time + seed))
    phase = 2 * np.pi * np.cumsum(wobble) / rate
    formant = 600 + 400 * np.sin(2 * np.pi * 1.3 * time)
    total = np.zeros(count)
    for harmonic in range(1, 25):
        at_hz = harmonic * wobble
        total += np.sin(harmonic * phase) / (1 + ((at_hz - formant) / 300) ** 2) * (at_hz < 0.45 * rate)
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * time + rng.uniform(0, 6)), 0, 1)
    speech: Samples = total * syllables * 4000 + rng.standard_normal(count) * 20
    return speech


def room(rate: int, delay_ms: float) -> Samples:
    rng = np.random.default_rng(5)
    impulse = np.zeros(round(rate * (delay_ms / 1000 + 0.08)))
    at = round(rate * delay_ms / 1000)
    impulse[at] = 0.5
    tail = len(impulse) - at - 1
    impulse[at + 1 :] = rng.standard_normal(tail) * np.exp(-np.arange(tail) / (0.02 * rate)) * 0.03
    return impulse


def through(canceller: EchoCanceller, far: Samples, near: Samples, delay_ms: float) -> Samples:
    size = canceller.block_samples
    out = []
    for at in range(0, len(far) - size + 1, size):
        canceller.far(np.clip(far[at : at + size], -32768, 32767).astype("<i2").tobytes())
        block = np.clip(near[at : at + size], -32768, 32767).astype("<i2").tobytes()
        out.append(np.frombuffer(canceller.near(block, delay_ms=delay_ms), "<i2"))
    cleaned: Samples = np.concatenate(out).astype(float)
    return cleaned


def decibels(one: Samples, other: Samples) -> float:
    return 10 * math.log10(float((one**2).mean()) / max(1e-9, float((other**2).mean())))


@livekit
@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
@pytest.mark.parametrize("suppress", [False, True])
def test_echo_is_taken_out(rate: int, suppress: bool) -> None:
    far = voice(rate, 6.0, 1, 120)
    echo = np.convolve(far, room(rate, 40))[: len(far)]
    out = through(EchoCanceller(rate, noise_suppression=suppress), far, echo, 40)
    settled = len(out) // 2
    assert decibels(echo[settled : len(out)], out[settled:]) > 20  # echo return loss enhancement


@livekit
def test_the_caller_stays_when_the_agent_is_silent() -> None:
    rate = 24_000
    near = voice(rate, 4.0, 2, 210)
    out = through(EchoCanceller(rate), np.zeros(len(near)), near, 40)
    settled = len(out) // 4
    assert abs(decibels(near[settled : len(out)], out[settled:])) < 6


@livekit
def test_the_caller_comes_through_the_agents_speech() -> None:
    rate = 24_000
    far = voice(rate, 8.0, 1, 120)
    echo = np.convolve(far, room(rate, 40))[: len(far)]
    near = np.zeros(len(far))
    near[5 * rate : 7 * rate] = voice(rate, 2.0, 2, 210)
    out = through(EchoCanceller(rate), far, echo + near, 40)
    both, alone = out[5 * rate : 7 * rate], out[3 * rate : 5 * rate]
    assert decibels(both, alone) > 10


@livekit
def test_a_delay_that_is_told_wrong_is_survived() -> None:
    rate = 24_000
    far = voice(rate, 6.0, 1, 120)
    echo = np.convolve(far, room(rate, 90))[: len(far)]
    out = through(EchoCanceller(rate), far, echo, 20)
    settled = len(out) // 2
    assert decibels(echo[settled : len(out)], out[settled:]) > 15


@livekit
@pytest.mark.parametrize("delay_ms", [-5, 0, 1, 499, 10_000])
def test_any_delay_is_taken(delay_ms: float) -> None:
    canceller = EchoCanceller(16_000)
    assert len(canceller.near(bytes(320), delay_ms=delay_ms)) == 320


@livekit
def test_blocks_are_10_ms() -> None:
    canceller = EchoCanceller(24_000)
    with pytest.raises(AudioFormatError, match="480 bytes"):
        canceller.far(bytes(960))
    with pytest.raises(AudioFormatError, match="480 bytes"):
        canceller.near(b"", delay_ms=0)


def test_a_rate_without_whole_blocks_is_refused() -> None:
    with pytest.raises(AudioFormatError, match="multiple of 100"):
        EchoCanceller(11_025)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "livekit", None)
    with pytest.raises(MissingDependencyError, match=r"repartee\[talk\]"):
        EchoCanceller(24_000)
