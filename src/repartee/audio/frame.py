"""A piece of audio and where in its stream it lies.

Everything that hears or speaks passes :class:`AudioFrame` along. The samples stay ``bytes`` from the device
or the socket to the place that computes on them, so a frame that is only handed on costs neither a copy nor
numpy.

The position counts samples, not seconds, since samples are what a stream can be counted in exactly: two
frames follow one another without a gap when ``first.end_samples == second.position_samples``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from repartee.errors import AudioFormatError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MIN_SAMPLE_RATE = 8000
"""Lowest sampling rate of a frame, in Hz (narrow-band telephony)."""

MAX_SAMPLE_RATE = 96000
"""Highest sampling rate of a frame, in Hz."""

MAX_CHANNELS = 8
"""Most channels of a frame."""

BYTES_PER_SAMPLE = 2
"""PCM16: two bytes for a sample of one channel."""


class AudioFrame(msgspec.Struct, frozen=True, gc=False):
    """PCM16 audio of any length, with its place in the stream.

    Args:
        data: samples as signed 16-bit little-endian integers, channels interleaved. May be empty.
        sample_rate: samples per second and channel, in Hz; 8000 to 96000.
        channels: 1 to 8. Default: 1.
        position_samples: index of the first sample since the stream began, per channel. Default: 0. It may be
            negative: a filter with a delay puts out that many samples before the stream's first one.

    Raises:
        AudioFormatError: ``data`` isn't a whole number of samples of all channels, or the rate or the number
            of channels is outside its range.
    """

    data: bytes
    sample_rate: int
    channels: int = 1
    position_samples: int = 0

    def __post_init__(self) -> None:
        # One chain of cheap comparisons: thousands of frames are made every second, and nearly all are right.
        if (
            type(self.data) is not bytes
            or not MIN_SAMPLE_RATE <= self.sample_rate <= MAX_SAMPLE_RATE
            or not 1 <= self.channels <= MAX_CHANNELS
            or len(self.data) % (BYTES_PER_SAMPLE * self.channels)
        ):
            self._refuse()

    def _refuse(self) -> None:
        """Say which field was wrong; but copy a ``bytearray`` or ``memoryview``, since frames are frozen."""
        check_sample_rate(self.sample_rate)
        check_channels(self.channels)
        if not isinstance(self.data, (bytes, bytearray, memoryview)):
            raise AudioFormatError(
                f"audio data must be bytes of PCM16, not {type(self.data).__name__}; "
                "for an array use AudioFrame.from_array()"
            )
        msgspec.structs.force_setattr(self, "data", bytes(self.data))
        whole = BYTES_PER_SAMPLE * self.channels
        if len(self.data) % whole:
            raise AudioFormatError(
                f"{len(self.data)} bytes are not whole PCM16 samples of {self.channels} channel(s): "
                f"the length must be a multiple of {whole}"
            )

    @property
    def samples(self) -> int:
        """Number of samples per channel."""
        return len(self.data) // (BYTES_PER_SAMPLE * self.channels)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate

    @property
    def end_samples(self) -> int:
        """Position of the first sample after this frame."""
        return self.position_samples + self.samples

    def at(self, position_samples: int) -> AudioFrame:
        """The same audio, at another place of its stream (or of another stream)."""
        return AudioFrame(self.data, self.sample_rate, self.channels, position_samples)

    @classmethod
    def silence(
        cls,
        duration_ms: float | None = None,
        sample_rate: int = 24000,
        *,
        samples: int | None = None,
        channels: int = 1,
        position_samples: int = 0,
    ) -> AudioFrame:
        """A frame of zeros.

        Args:
            duration_ms: length in milliseconds, rounded to whole samples. Give this or ``samples``.
            sample_rate: in Hz. Default: 24000.
            samples: length in samples per channel.
            channels: 1 to 8. Default: 1.
            position_samples: as in :class:`AudioFrame`. Default: 0.

        Raises:
            AudioFormatError: both lengths or none were given, or one is negative.
        """
        if (duration_ms is None) == (samples is None):
            raise AudioFormatError("silence needs its length once: either duration_ms or samples")
        if samples is None:
            assert duration_ms is not None
            samples = round(duration_ms * sample_rate / 1000)
        if samples < 0:
            raise AudioFormatError(f"silence can't have {samples} samples; its length must be 0 or more")
        return cls(bytes(BYTES_PER_SAMPLE * channels * samples), sample_rate, channels, position_samples)

    def slice(self, start: int, stop: int | None = None) -> AudioFrame:
        """The samples ``start`` to ``stop``, per channel and counted from this frame's first.

        As in Python's slices a bound beyond the frame is moved to its edge, and a negative one counts from
        the end.
        """
        start, stop, _ = slice(start, stop).indices(self.samples)
        stop = max(start, stop)
        if start == 0 and stop == self.samples:
            return self
        whole = BYTES_PER_SAMPLE * self.channels
        return AudioFrame(
            self.data[start * whole : stop * whole],
            self.sample_rate,
            self.channels,
            self.position_samples + start,
        )

    def to_mono(self) -> AudioFrame:
        """This frame with one channel, the mean of all; itself if it has one already."""
        if self.channels == 1:
            return self
        import numpy as np

        # The sum of 8 channels fits 32 bits; halves round to even, so the mean has no bias.
        mean = self.as_array().sum(axis=1, dtype=np.int32) / self.channels
        return AudioFrame(np.rint(mean).astype("<i2").tobytes(), self.sample_rate, 1, self.position_samples)

    def as_array(self) -> npt.NDArray[np.int16]:
        """The samples as a read-only int16 view without a copy.

        Returns:
            shape ``(samples,)`` for mono, else ``(samples, channels)``.
        """
        import numpy as np

        flat = np.frombuffer(self.data, dtype="<i2")
        return flat if self.channels == 1 else flat.reshape(-1, self.channels)

    @classmethod
    def from_array(
        cls, array: npt.NDArray[Any], sample_rate: int, *, position_samples: int = 0
    ) -> AudioFrame:
        """A frame from samples in an array.

        Args:
            array: shape ``(samples,)`` or ``(samples, channels)``; int16, or floating point with full scale
                at ±1.0 (what lies beyond is clipped, what is not a number becomes 0).
            sample_rate: in Hz.
            position_samples: as in :class:`AudioFrame`. Default: 0.

        Raises:
            AudioFormatError: another shape or type of number.
        """
        import numpy as np

        if array.ndim not in (1, 2):
            raise AudioFormatError(
                f"an array of shape {array.shape} is no audio: it must be (samples,) or (samples, channels)"
            )
        if array.dtype.kind == "f":
            scaled = np.nan_to_num(array.astype(np.float64) * 32768.0, nan=0.0)
            array = np.clip(np.rint(scaled), -32768, 32767)
        elif array.dtype != np.int16:
            raise AudioFormatError(
                f"an array of {array.dtype} is ambiguous: give int16, or floating point within ±1.0"
            )
        channels = 1 if array.ndim == 1 else int(array.shape[1])
        return cls(array.astype("<i2").tobytes(), sample_rate, channels, position_samples)


def check_sample_rate(sample_rate: object) -> None:
    """Raise AudioFormatError unless ``sample_rate`` is an integer from 8000 to 96000 Hz."""
    if not isinstance(sample_rate, int) or not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise AudioFormatError(
            f"a sample rate of {sample_rate!r} Hz is not supported: "
            f"it must be a whole number from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}"
        )


def check_channels(channels: object) -> None:
    """Raise AudioFormatError unless ``channels`` is an integer from 1 to 8."""
    if not isinstance(channels, int) or not 1 <= channels <= MAX_CHANNELS:
        raise AudioFormatError(f"{channels!r} channels are not supported: it must be 1 to {MAX_CHANNELS}")
