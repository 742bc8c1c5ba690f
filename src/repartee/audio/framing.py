"""Frames of any size in, frames of exactly one ptime out.

*Ptime* is the field's word for the length of audio in one packet (RFC 8866, section 6.4). A voice activity
detector wants 32 ms, a telephony peer 20 ms, a device whatever it gives: a framer stands between them.
"""

from __future__ import annotations

from repartee.audio.frame import AudioFrame, check_sample_rate
from repartee.errors import AudioFormatError

_BYTES = 2  # of a mono sample


class Framer:
    """Cuts a stream of mono frames into frames of equal length.

    It keeps less than one frame of ``ptime_ms``, whatever is pushed: every whole frame is handed out at once.

    Positions count on without a gap from that of the first frame pushed; a gap in the input's positions is
    neither filled nor passed on (the samples themselves are what is counted).

    Args:
        sample_rate: of the frames in and out, in Hz; 8000 to 96000.
        ptime_ms: length of the frames out, in milliseconds; a whole number of samples.

    Raises:
        AudioFormatError: the rate is outside its range, or ``ptime_ms`` is not a whole, positive number of
            samples.
    """

    def __init__(self, sample_rate: int, ptime_ms: float) -> None:
        check_sample_rate(sample_rate)
        samples = round(sample_rate * ptime_ms / 1000)
        if samples < 1 or abs(samples - sample_rate * ptime_ms / 1000) > 1e-6:
            fitting = max(1, samples) * 1000 / sample_rate
            raise AudioFormatError(
                f"a ptime of {ptime_ms} ms is not a whole number of samples at {sample_rate} Hz: "
                f"choose one that is, such as {fitting:.6g} ms ({max(1, samples)} samples), or resample first"
            )
        self.sample_rate = sample_rate
        self.ptime_ms = ptime_ms
        self.frame_samples = samples
        self._pending = b""
        self._position: int | None = None  # of the first pending sample; None before the first frame

    @property
    def pending_samples(self) -> int:
        """Samples that wait for their frame to fill: fewer than ``frame_samples``."""
        return len(self._pending) // _BYTES

    def push(self, frame: AudioFrame) -> list[AudioFrame]:
        """Take a frame of any length, and give every whole frame there is now.

        Raises:
            AudioFormatError: a frame of another rate, or not mono.
        """
        if frame.sample_rate != self.sample_rate or frame.channels != 1:
            raise AudioFormatError(
                f"this framer takes mono at {self.sample_rate} Hz, not {frame.channels} channel(s) at "
                f"{frame.sample_rate} Hz; use frame.to_mono() and a Resampler first"
            )
        if self._position is None:
            self._position = frame.position_samples
        position = self._position
        size = self.frame_samples * _BYTES
        if not self._pending and len(frame.data) == size and position == frame.position_samples:
            self._position = position + self.frame_samples
            return [frame]  # already as it should be: nothing to copy
        data = self._pending + frame.data if self._pending else frame.data
        whole = len(data) // size
        frames = [
            AudioFrame(
                data[i * size : (i + 1) * size], self.sample_rate, 1, position + i * self.frame_samples
            )
            for i in range(whole)
        ]
        self._pending = data[whole * size :]
        self._position = position + whole * self.frame_samples
        return frames

    def flush(self, *, pad: bool = True) -> AudioFrame | None:
        """End the stream: give what waits, and begin anew with the next frame's position.

        Args:
            pad: fill the last frame with silence to its full length, else give it as short as it is.
                Default: ``True``.

        Returns:
            The last frame, or ``None`` if nothing waited.
        """
        data, position = self._pending, self._position
        self._pending, self._position = b"", None
        if not data or position is None:
            return None
        if pad:
            data = data.ljust(self.frame_samples * _BYTES, b"\0")
        return AudioFrame(data, self.sample_rate, 1, position)
