"""The server's ears with the real detector, on spoken sentences."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from repartee.audio import g711, read_audio
from repartee.testing import ScriptedRealtimeModel
from tests.server.ears import Ears, server_vad, session

pytest.importorskip("onnxruntime", reason="needs the extra 'local'")

SPEECH = Path(__file__).parents[2] / "data" / "speech"


def spoken(*names: str, rate: int, gap_s: float = 1.2) -> tuple[bytes, list[tuple[float, float]]]:
    """Sentences with silence before, between and after them, and where each lies in ms."""
    audio, places = bytes(2 * rate), []
    for name in names:
        pcm = read_audio(SPEECH / f"{name}.flac", sample_rate=rate).data
        start = len(audio)
        audio += pcm + bytes(2 * round(gap_s * rate))
        places.append((start / 2 / rate * 1000, (start + len(pcm)) / 2 / rate * 1000))
    return audio, places


async def listen(audio: bytes, config: Any, turns: int, *, step: int = 0) -> Ears:
    from repartee.plugins.local import VAD

    done = asyncio.Event()

    class Owner(Ears):
        def turn_over(self, *args: Any, **options: Any) -> None:
            super().turn_over(*args, **options)
            if len(self.audio) == turns:
                done.set()

    async with Owner(ScriptedRealtimeModel(strict=False), config, vad=VAD(), deaf=True) as ears:
        for at in range(0, len(audio), step or len(audio)):
            ears.listening.append(audio[at : at + (step or len(audio))])
        async with asyncio.timeout(20):
            await done.wait()
        return ears


def test_spoken_sentences_are_turns_however_they_come() -> None:
    audio, places = spoken("lights_slt", "river_rms", "timer_awb", rate=24_000)
    config = server_vad(silence_duration_ms=700)
    at_once = asyncio.run(listen(audio, config, 3))
    in_pieces = asyncio.run(listen(audio, config, 3, step=960))
    assert at_once.turns == in_pieces.turns
    assert at_once.audio == in_pieces.audio
    assert [what[0] for what in at_once.turns] == ["started", "stopped", "over"] * 3
    for place, started, stopped in zip(places, at_once.turns[::3], at_once.turns[1::3], strict=True):
        assert place[0] - 450 < started[1] < place[0] + 50
        assert place[1] + 300 < stopped[1] < place[1] + 1000


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_spoken_sentences_over_the_telephone(law: g711.Law) -> None:
    audio, places = spoken("weather_slt", "dinner_kal16", rate=8000)
    config = session(format="pcmu" if law == "ulaw" else "pcma")
    ears = asyncio.run(listen(g711.encode(audio, law), config, 2, step=160))
    assert [what[0] for what in ears.turns] == ["started", "stopped", "over"] * 2
    for place, started in zip(places, ears.turns[::3], strict=True):
        assert place[0] - 450 < started[1] < place[0] + 50
    passed_ms = sum(frame.samples for frame in ears.passed) / 24
    assert passed_ms > sum(end - start for start, end in places)


@pytest.mark.parametrize("format", ["pcm", "pcmu"])
def test_spoken_sentences_in_noise(format: str) -> None:
    pytest.importorskip("livekit", reason="needs the extra 'talk' (livekit)")
    import numpy as np

    rate = 24_000 if format == "pcm" else 8000
    clean, _ = spoken("lights_slt", "timer_awb", rate=rate)
    noise = np.random.default_rng(2).normal(0.0, 300.0, len(clean) // 2)
    pcm = (np.frombuffer(clean, "<i2") + noise).clip(-32768, 32767).astype("<i2").tobytes()
    wire = pcm if format == "pcm" else g711.ulaw_encode(pcm)
    config = session(format=format, noise="far_field")
    ears = asyncio.run(listen(wire, config, 2, step=len(wire) // 777 // 2 * 2))
    assert [what[0] for what in ears.turns] == ["started", "stopped", "over"] * 2
    assert all(audio in wire for audio in ears.audio)  # what is kept is what came
    quiet = np.concatenate([frame.as_array() for frame in ears.passed])[-1200:].astype(float)
    assert np.sqrt(np.mean(quiet**2)) < 150  # what is heard is cleaned
