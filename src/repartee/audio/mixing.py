"""Sums, gains and stereo: what a session's output and its recording need.

All results saturate at the ends of PCM16 instead of wrapping around.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from repartee.audio.frame import AudioFrame, check_channels, check_sample_rate
from repartee.errors import AudioFormatError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def mix(*frames: AudioFrame) -> AudioFrame:
    """The sum of two or more frames, sample by sample from the first of each, saturated.

    Args:
        frames: all of one rate and number of channels; shorter ones count as silent after their end. Their
            positions are not looked at.

    Returns:
        As long as the longest, at the position of the first.

    Raises:
        AudioFormatError: no frame, or frames of different rates or channels.
    """
    import numpy as np

    if not frames:
        raise AudioFormatError("nothing to mix: give at least one frame")
    first = frames[0]
    for frame in frames[1:]:
        _check_alike(first, frame)
    if len(frames) == 1:
        return first
    total = np.zeros(max(len(frame.data) for frame in frames) // 2, dtype=np.float64)
    for frame in frames:
        total[: len(frame.data) // 2] += np.frombuffer(frame.data, dtype="<i2")
    return AudioFrame(_saturated(total), first.sample_rate, first.channels, first.position_samples)


def apply_gain(frame: AudioFrame, gain_db: float) -> AudioFrame:
    """The frame louder or softer by ``gain_db`` decibels, saturated; itself at 0 dB, silence at ``-inf``.

    For a gain that changes while sound goes on, use :class:`Gain`, which does not click.
    """
    import numpy as np

    factor = _factor(gain_db)
    if factor == 1.0:
        return frame
    scaled = np.frombuffer(frame.data, dtype="<i2") * factor
    return AudioFrame(_saturated(scaled), frame.sample_rate, frame.channels, frame.position_samples)


class Gain:
    """A gain on a stream of frames that moves to a new value by a ramp, so that ducking does not click.

    The ramp is linear in amplitude and goes on over the borders of frames; the result does not depend on
    where those are. A new target during a ramp starts from where the ramp is.

    Args:
        sample_rate: of the frames, in Hz.
        channels: of the frames. Default: 1.
        gain_db: the gain at the start, in decibels; ``-inf`` is silence. Default: 0.
        ramp_ms: how long the way from one gain to the next takes, in milliseconds; 0 jumps. Default: 10.

    Raises:
        AudioFormatError: a rate or number of channels outside its range, a negative ramp, a gain above +60 dB
            or that is not a number.
    """

    def __init__(
        self, sample_rate: int, channels: int = 1, *, gain_db: float = 0.0, ramp_ms: float = 10.0
    ) -> None:
        check_sample_rate(sample_rate)
        check_channels(channels)
        if not ramp_ms >= 0:
            raise AudioFormatError(f"a ramp of {ramp_ms} ms is not possible: it must be 0 or longer")
        self.sample_rate = sample_rate
        self.channels = channels
        self._ramp_samples = round(ramp_ms * sample_rate / 1000)
        self._from = self._to = _factor(gain_db)
        self._done = self._ramp_samples  # samples of the ramp that are behind us

    @property
    def is_ramping(self) -> bool:
        """Whether the gain is still on its way."""
        return self._done < self._ramp_samples and self._from != self._to

    def set(self, gain_db: float) -> None:
        """Head for a new gain, from the next sample on.

        Raises:
            AudioFormatError: above +60 dB or not a number.
        """
        target = _factor(gain_db)
        if target == self._to:
            return  # already there, or on the way: saying it twice doesn't make the way longer
        self._from = self._present()
        self._to = target
        self._done = 0

    def push(self, frame: AudioFrame) -> AudioFrame:
        """The next frame with the gain applied; the frame itself while the gain is 0 dB.

        Raises:
            AudioFormatError: a frame of another rate or number of channels.
        """
        import numpy as np

        if frame.sample_rate != self.sample_rate or frame.channels != self.channels:
            raise AudioFormatError(
                f"this gain takes {self.sample_rate} Hz with {self.channels} channel(s), "
                f"not {frame.sample_rate} Hz with {frame.channels}"
            )
        factors: float | npt.NDArray[np.float64] = self._to
        if self.is_ramping:
            at = np.minimum(np.arange(self._done + 1, self._done + 1 + frame.samples), self._ramp_samples)
            factors = self._from + (self._to - self._from) * (at / self._ramp_samples)
            if self.channels > 1:
                factors = np.repeat(factors, self.channels)
            self._done = min(self._ramp_samples, self._done + frame.samples)
        elif factors == 1.0:
            return frame
        scaled = np.frombuffer(frame.data, dtype="<i2") * factors
        return AudioFrame(_saturated(scaled), frame.sample_rate, frame.channels, frame.position_samples)

    def _present(self) -> float:
        if self._done >= self._ramp_samples:
            return self._to
        return self._from + (self._to - self._from) * (self._done / self._ramp_samples)


def interleave(left: AudioFrame, right: AudioFrame) -> AudioFrame:
    """Two mono frames as one stereo frame, sample by sample from the first of each.

    Args:
        left, right: mono, of one rate; the shorter counts as silent after its end. Positions are not looked
        at.

    Returns:
        Two channels, as long as the longer, at the position of ``left``.

    Raises:
        AudioFormatError: a frame that isn't mono, or different rates.
    """
    import numpy as np

    _check_alike(left, right)
    if left.channels != 1:
        raise AudioFormatError(f"interleave takes mono frames, not {left.channels} channels: use to_mono()")
    both = np.zeros((max(left.samples, right.samples), 2), dtype="<i2")
    both[: left.samples, 0] = left.as_array()
    both[: right.samples, 1] = right.as_array()
    return AudioFrame(both.tobytes(), left.sample_rate, 2, left.position_samples)


def _check_alike(one: AudioFrame, other: AudioFrame) -> None:
    if one.sample_rate != other.sample_rate or one.channels != other.channels:
        raise AudioFormatError(
            f"frames must be alike, not {one.sample_rate} Hz with {one.channels} channel(s) and "
            f"{other.sample_rate} Hz with {other.channels}: use a Resampler or to_mono() first"
        )


def _factor(gain_db: float) -> float:
    """Decibels as a factor of amplitude."""
    if isnan(gain_db) or gain_db > 60.0:
        raise AudioFormatError(f"a gain of {gain_db} dB is not possible: it must be a number up to +60")
    factor: float = 10.0 ** (gain_db / 20.0)
    return factor


def _saturated(samples: npt.NDArray[np.float64]) -> bytes:
    """Rounded and clipped to PCM16. Changes ``samples``."""
    import numpy as np

    np.rint(samples, out=samples)
    # Floating point throughout: numpy clips that several times faster than integers.
    return samples.clip(-32768.0, 32767.0, samples).astype("<i2").tobytes()
