"""Audio as values: frames, framing, resampling, G.711, levels, mixing and files.

Importing it imports neither numpy nor soundfile; they come with the first call that computes or reads.
"""

from __future__ import annotations

from repartee.audio.files import AudioReader, WavWriter, open_audio, read_audio, write_audio
from repartee.audio.frame import AudioFrame
from repartee.audio.framing import Framer
from repartee.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from repartee.audio.level import peak_dbfs, rms_dbfs
from repartee.audio.mixing import Gain, apply_gain, interleave, mix
from repartee.audio.resample import Resampler, resample

__all__ = [
    "AudioFrame",
    "AudioReader",
    "Framer",
    "Gain",
    "Resampler",
    "WavWriter",
    "alaw_decode",
    "alaw_encode",
    "apply_gain",
    "interleave",
    "mix",
    "open_audio",
    "peak_dbfs",
    "read_audio",
    "resample",
    "rms_dbfs",
    "ulaw_decode",
    "ulaw_encode",
    "write_audio",
]
