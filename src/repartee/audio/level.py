"""How loud a frame is, in dBFS: decibels relative to full scale, here the PCM16 amplitude 32768.

A square wave at full scale has an RMS level of 0 dBFS, a sine -3.01 (the definition of IEC 61606-3 would add
those 3.01 dB; a meter of speech has no use for them).
"""

from __future__ import annotations

from math import log10, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repartee.audio.frame import AudioFrame

SILENCE_DBFS = -100.0
"""The lowest level given, also for digital silence and empty frames: one step of PCM16 is at -90.3."""


def rms_dbfs(frame: AudioFrame) -> float:
    """Root mean square of all samples of all channels: -100 to 0 dBFS."""
    import numpy as np

    if not frame.data:
        return SILENCE_DBFS
    samples = np.frombuffer(frame.data, dtype="<i2").astype(np.float64)
    return _dbfs(sqrt(float(np.dot(samples, samples)) / samples.size))


def peak_dbfs(frame: AudioFrame) -> float:
    """The largest absolute sample of any channel: -100 to 0 dBFS."""
    import numpy as np

    if not frame.data:
        return SILENCE_DBFS
    samples = np.frombuffer(frame.data, dtype="<i2")
    return _dbfs(float(max(int(samples.max()), -int(samples.min()))))


def _dbfs(amplitude: float) -> float:
    return max(SILENCE_DBFS, 20.0 * log10(amplitude / 32768.0)) if amplitude else SILENCE_DBFS
