"""The spoken sentences of tests/data/speech (its README says whose voices they are)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from repartee.audio import AudioFrame, read_audio
from repartee.testing.conformance_vad import SpeechSample

DATA = Path(__file__).parents[2] / "data" / "speech"
TEXTS = {
    "lights_slt": "please turn on the lights in the kitchen",
    "weather_slt": "what is the weather going to be like tomorrow",
    "subscription_rms": "i would like to cancel my subscription",
    "river_rms": "do you know a good restaurant near the river",
    "timer_awb": "set a timer for ten minutes",
    "hotel_awb": "give me the phone number of the hotel",
    "dinner_kal16": "what should i cook for dinner tonight",
    "capital_kal16": "what is the capital of portugal",
}
SILENCE_S = 0.4


@cache
def sample(name: str) -> SpeechSample:
    """A sentence with 0.4 s of silence (a faint noise, as of a real microphone) on both sides, at 16 kHz."""
    import numpy as np

    audio = read_audio(DATA / f"{name}.flac")
    assert audio.sample_rate == 16_000
    pad = round(SILENCE_S * 16_000)
    speech = audio.as_array().astype(np.float64)
    loud = np.flatnonzero(np.abs(speech) > 600)  # flite puts 0.1 to 0.2 s of silence around a sentence
    whole = np.concatenate([np.zeros(pad), speech, np.zeros(pad)])
    whole += np.random.default_rng(7).normal(0, 3, len(whole))
    frame = AudioFrame(np.clip(np.rint(whole), -32768, 32767).astype("<i2").tobytes(), 16_000)
    return SpeechSample(frame, pad + int(loud[0]), pad + int(loud[-1]), TEXTS[name])
