"""Audio as values: frames, framing, resampling, G.711, files and mixing. Importing it doesn't import numpy."""

from __future__ import annotations

from repartee.audio.frame import AudioFrame
from repartee.audio.resample import Resampler, resample

__all__ = ["AudioFrame", "Resampler", "resample"]
