"""`CallRecorder`: a call as a stereo WAV file, the caller on the left, the agent *as heard* on the right.

Theory of operation. Both channels lie on one time axis that begins with the session. A frame comes with the time of
its first sample; frames that follow one another within `_SNAP_MS` are joined without a seam, since times jitter and
samples don't, and whatever lies between two others is silence. Audio goes to the disk a second (``lag_s``) after
the newest sample of either channel, so memory doesn't grow; what comes later than that is dropped and counted. A disk
that is full ends the recording, not the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from repartee.audio import AudioFrame, Resampler, WavWriter, interleave
from repartee.errors import ReparteeError, StateError

__all__ = ["CallRecorder"]

_SNAP_MS = 2.0


class CallRecorder:
    """Records a call.

    Args:
        path: of the WAV file; replaced if it exists.
        sample_rate: of the file, in Hz; frames of another rate are resampled. Default: 24000.
        lag_s: how much of the newest audio stays off the disk, for what comes late and `agent_unheard`. Default: 1.
        start_s: loop time of the session's start. Default: now (within a running event loop).
        on_error: told once if the disk fails; recording ends with it. Default: nobody; see ``error``.

    Raises:
        OSError: the file can't be created.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int = 24_000,
        *,
        lag_s: float = 1.0,
        start_s: float | None = None,
        on_error: Callable[[ReparteeError], None] | None = None,
    ) -> None:
        self.start_s = asyncio.get_running_loop().time() if start_s is None else start_s
        self.error: ReparteeError | None = None
        """Why it ended early, if it did."""
        self._on_error = on_error
        self._writer: WavWriter | None = WavWriter(path, sample_rate, 2)
        self._sample_rate = sample_rate
        self._lag_samples = round(lag_s * sample_rate)
        self._left = _Channel(sample_rate)
        self._right = _Channel(sample_rate)
        self._written = 0

    @property
    def late_samples(self) -> int:
        """Samples that came too late for their place in the file, of both channels."""
        return self._left.late_samples + self._right.late_samples

    @property
    def duration_s(self) -> float:
        """Seconds so far, up to the newest sample."""
        return max(self._left.end, self._right.end, self._written) / self._sample_rate

    def caller(self, frame: AudioFrame, at_s: float) -> None:
        """The caller said this (mono); its first sample at loop time ``at_s``."""
        self._take(self._left, frame, at_s)

    def agent(self, frame: AudioFrame, at_s: float) -> None:
        """The agent was heard saying this (mono); its first sample at loop time ``at_s``."""
        self._take(self._right, frame, at_s)

    def agent_unheard(self, from_s: float, to_s: float) -> None:
        """What the agent said between these loop times was not heard after all; reaches back ``lag_s``."""
        first, last = (round((at_s - self.start_s) * self._sample_rate) for at_s in (from_s, to_s))
        self._right.silence(first, last)

    def close(self, at_s: float | None = None) -> None:
        """Finish the file, filled with silence up to loop time ``at_s``. Idempotent."""
        if self._writer is None:
            return
        for channel in (self._left, self._right):
            channel.flush()
        end = max(self._left.end, self._right.end)
        if at_s is not None:
            end = max(end, round((at_s - self.start_s) * self._sample_rate))
        self._write(end)
        writer, self._writer = self._writer, None
        if writer is not None:
            self._on_disk(writer.close)

    def _take(self, channel: _Channel, frame: AudioFrame, at_s: float) -> None:
        if self._writer is None:
            return
        if frame.channels != 1:
            raise StateError("a recorder takes mono frames: use frame.to_mono()")
        channel.take(frame, at_s - self.start_s)
        safe = max(self._left.end, self._right.end) - self._lag_samples
        if safe - self._written >= self._sample_rate // 2:
            self._write(safe)

    def _write(self, until: int) -> None:
        count = until - self._written
        if count <= 0 or self._writer is None:
            return
        left, right = (
            AudioFrame(channel.give(count), self._sample_rate) for channel in (self._left, self._right)
        )
        self._written = until
        both = interleave(left, right)
        writer = self._writer
        self._on_disk(lambda: writer.write(both))

    def _on_disk(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (OSError, ReparteeError) as error:
            writer, self._writer = self._writer, None
            if writer is not None:
                with contextlib.suppress(OSError, ReparteeError):  # it has failed already, and that is told
                    writer.close()
            self.error = StateError(f"the recording ended early: {error}")
            if self._on_error is not None:
                self._on_error(self.error)


class _Channel:
    """One side's audio that is not on the disk yet."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._data = bytearray()  # from sample `_base` on
        self._base = 0
        self._next: int | None = None  # where the next frame begins if it follows; in samples of the source
        self._resampler: Resampler | None = None
        self.late_samples = 0

    @property
    def end(self) -> int:
        """Behind its newest sample."""
        return self._base + len(self._data) // 2

    def take(self, frame: AudioFrame, at_s: float) -> None:
        """Put a frame to its place."""
        rate = frame.sample_rate
        if self._resampler is None or self._resampler.source_rate != rate:
            self.flush()
            self._resampler = Resampler(rate, self._sample_rate)
        position = round(at_s * rate)
        if self._next is not None and abs(position - self._next) <= rate * _SNAP_MS / 1000:
            position = self._next
        else:
            self.flush()
        self._next = position + frame.samples
        self._place(self._resampler.push(AudioFrame(frame.data, rate, position_samples=position)))

    def flush(self) -> None:
        """End a stretch: the sound that is still within the filter."""
        if self._resampler is not None and self._next is not None:
            self._place(self._resampler.flush())
        self._next = None

    def silence(self, first: int, last: int) -> None:
        """Make what is not on the disk yet silent, from one sample to before another."""
        self.flush()
        begin, end = max(0, first - self._base), min(last - self._base, len(self._data) // 2)
        if end > begin:
            self._data[2 * begin : 2 * end] = bytes(2 * (end - begin))

    def give(self, count: int) -> bytes:
        """The next samples for the disk."""
        data = bytes(self._data[: 2 * count])
        del self._data[: 2 * count]
        self._base += count
        return data.ljust(2 * count, b"\0")

    def _place(self, frame: AudioFrame) -> None:
        at = frame.position_samples - self._base
        if at < 0:
            late = min(-at, frame.samples)
            if self._base:
                self.late_samples += late
            frame, at = frame.slice(late), 0
        if not frame.samples:
            return
        missing = at - len(self._data) // 2
        if missing > 0:
            self._data += bytes(2 * missing)
        self._data[2 * at : 2 * at + len(frame.data)] = frame.data
