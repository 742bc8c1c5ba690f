"""Noise suppression, measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from repartee.audio import read_audio
from repartee.errors import AudioFormatError, MissingDependencyError
from repartee.transports.noise import NoiseSuppressor

SPEECH = Path(__file__).parents[1] / "data" / "speech" / "river_rms.flac"
RATE = 24_000


def test_a_rate_without_whole_blocks_is_refused() -> None:
    with pytest.raises(AudioFormatError, match="multiple of 100 Hz, not 11025"):
        NoiseSuppressor(11_025)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "livekit", None)
    with pytest.raises(MissingDependencyError, match=r"noise suppression.*livekit"):
        NoiseSuppressor(RATE)


@pytest.mark.parametrize("rate", [24_000, 16_000, 8000])
@pytest.mark.parametrize("field", ["near_field", "far_field"])
def test_steady_noise_goes_and_the_voice_stays(field: str, rate: int) -> None:
    pytest.importorskip("livekit", reason="needs the extra 'talk' (livekit)")
    import numpy as np

    voice = read_audio(SPEECH, sample_rate=rate).as_array().astype(np.float64)
    voice = np.concatenate([np.zeros(2 * rate), voice, np.zeros(rate)])
    noise = np.random.default_rng(1).normal(0.0, 300.0, len(voice))
    suppressor = NoiseSuppressor(rate, field=field)  # type: ignore[arg-type]
    noisy = np.clip(voice + noise, -32768, 32767).astype("<i2").tobytes()
    made = (
        b"".join(suppressor.push(noisy[at : at + 640]) for at in range(0, len(noisy), 640))
        + suppressor.flush()
    )
    assert len(made) == len(noisy)
    cleaned = np.frombuffer(made, "<i2").astype(np.float64)

    def level(x: Any, mask: Any) -> float:
        return 10 * math.log10(float(np.mean(np.square(x[mask]))) + 1e-9)

    quiet = np.zeros(len(voice), bool)
    quiet[rate : 2 * rate - rate // 50] = True  # after it has learned the noise
    loud = np.zeros(len(voice), bool)
    loud[2 * rate : -rate] = True
    before = level(voice + noise, loud) - level(noise, quiet)
    after = level(cleaned, loud) - level(cleaned, quiet)
    print(f"{field} {rate} Hz: signal to noise {before:.1f} -> {after:.1f} dB")
    assert after - before > 5.0
    if field == "near_field":
        assert abs(level(cleaned, loud) - level(voice, loud)) < 3.0


def test_pieces_of_any_size_make_whole_blocks() -> None:
    pytest.importorskip("livekit", reason="needs the extra 'talk' (livekit)")
    suppressor = NoiseSuppressor(16_000)
    assert [len(suppressor.push(bytes(size))) for size in (100, 300, 2, 700)] == [0, 320, 0, 640]
    assert len(suppressor.flush()) == 142
    assert suppressor.flush() == b""
