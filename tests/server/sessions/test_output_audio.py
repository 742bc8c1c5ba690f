"""The audio of one item on its way out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from repartee.audio import AudioFrame, g711, resample
from repartee.protocol.config import PcmaAudio, PcmAudio, PcmuAudio
from repartee.server.sessions.output_audio import ItemAudio, law_of, rate_of

PCM = PcmAudio(rate=24_000)


def tone(rate: int, duration_s: float = 0.5) -> AudioFrame:
    """A hum at a rate."""
    t = np.arange(round(rate * duration_s)) / rate
    return AudioFrame((8000 * np.sin(2 * np.pi * 300 * t)).astype("<i2").tobytes(), rate)


def through(audio: ItemAudio, frame: AudioFrame, step: int = 441) -> tuple[bytes, list[AudioFrame]]:
    """All that comes out."""
    wire, pcm = b"", []
    for at in range(0, frame.samples, step):
        out, made = audio.push(frame.slice(at, at + step))
        wire += out
        pcm.append(made)
    out, made = audio.flush()
    return wire + out, [*pcm, made]


def test_what_fits_is_not_copied() -> None:
    frame = tone(24_000)
    wire, pcm = ItemAudio(24_000, PCM).push(frame)
    assert wire is frame.data
    assert pcm is frame


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
@pytest.mark.parametrize(("format", "law"), [(PCM, None), (PcmuAudio(), "ulaw"), (PcmaAudio(), "alaw")])
def test_other_rates_and_formats_keep_length_and_place(rate: int, format: Any, law: Any) -> None:
    wire, _ = through(ItemAudio(rate, format), tone(rate))
    target = rate_of(format)
    assert law_of(format) == law
    pcm = wire if law is None else g711.decode(wire, law)
    wanted = resample(tone(rate), target)
    assert len(pcm) == len(wanted.data)
    made, right = np.frombuffer(pcm, "<i2").astype(float), wanted.as_array().astype(float)
    assert np.corrcoef(made, right)[0, 1] > 0.999


@pytest.mark.parametrize("format", [PCM, PcmuAudio()])
def test_what_the_server_plays_is_24_khz_and_in_place(format: Any) -> None:
    wire, frames = through(ItemAudio(16_000, format, speed=1.25, played=True), tone(16_000))
    position = 0
    for frame in frames:
        assert frame.sample_rate == 24_000
        assert frame.position_samples == position
        position = frame.end_samples
    assert position == pytest.approx(0.4 * 24_000, abs=2)
    assert len(wire) == pytest.approx(0.4 * (48_000 if format is PCM else 8_000), abs=4)
