"""Speech faster or slower at the same pitch, as it comes: waveform similarity overlap-add (WSOLA).

Theory of operation. The output is made of windows of 30 ms that overlap by half. Each is taken from the input at about
``speed`` times the pace of the output; of the places within ±7.5 ms of there, the one is taken where the input is most
like what would follow the window before by nature, so periods of the voice stay whole and no click arises
(W. Verhelst and M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality time-scale
modification of speech", ICASSP 1993). The search compares every second sample first, then the neighbours.

*Delay.* A window is made as soon as the input that it may be taken from has come: some 40 ms after its middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from repartee.audio.frame import AudioFrame, check_sample_rate
from repartee.errors import AudioFormatError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

__all__ = ["MAX_SPEED", "MIN_SPEED", "TimeStretch"]

MIN_SPEED: Final = 0.25
MAX_SPEED: Final = 4.0
WINDOW_S: Final = 0.030
SEARCH_S: Final = 0.0075
"""To either side: one period of a voice of 66 Hz in all."""


class TimeStretch:
    """Changes the speed of a stream of mono frames.

    What goes in, ``N`` samples, comes out as ``round(N / speed)``.

    Args:
        sample_rate: of the frames, in Hz.
        speed: 0.25 to 4; above 1 is faster.

    Raises:
        AudioFormatError: a rate or speed outside its range.
    """

    __slots__ = (
        "_buffer",
        "_fade_in",
        "_hop",
        "_origin",
        "_overlap",
        "_produced",
        "_received",
        "_search",
        "_taken",
        "sample_rate",
        "speed",
    )

    def __init__(self, sample_rate: int, speed: float) -> None:
        import numpy as np

        check_sample_rate(sample_rate)
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise AudioFormatError(
                f"a speed of {speed} is not supported: it must be {MIN_SPEED} to {MAX_SPEED}"
            )
        self.sample_rate = sample_rate
        self.speed = speed
        self._hop = round(WINDOW_S * sample_rate / 2)  # half a window
        self._search = round(SEARCH_S * sample_rate)
        ramp = (np.arange(self._hop, dtype=np.float32) + 0.5) / self._hop
        self._fade_in: Samples = (0.5 - 0.5 * np.cos(np.pi * ramp)).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        import numpy as np

        self._buffer: Samples = np.zeros(0, np.float32)
        self._origin = 0  # which input sample the buffer begins with
        self._received = 0
        self._produced = 0
        self._taken = 0  # where in the input what follows the newest window begins
        self._overlap: Samples | None = None  # the second half of the newest window, faded out

    def push(self, frame: AudioFrame) -> AudioFrame:
        """Take the next audio.

        Returns:
            What became ready; may be empty. Positions count the output from its start.

        Raises:
            AudioFormatError: a frame of another rate, or not mono.
        """
        import numpy as np

        if frame.sample_rate != self.sample_rate or frame.channels != 1:
            raise AudioFormatError(
                f"this takes mono audio of {self.sample_rate} Hz, not {frame.channels} channels of "
                f"{frame.sample_rate} Hz"
            )
        samples = np.frombuffer(frame.data, "<i2").astype(np.float32)
        self._received += len(samples)
        self._buffer = np.concatenate((self._buffer, samples)) if len(self._buffer) else samples
        return self._made(self._windows())

    def flush(self) -> AudioFrame:
        """End the stream: the rest, so that the whole is ``round(N / speed)`` long; then `reset`."""
        import numpy as np

        wanted = round(self._received / self.speed) - self._produced
        silence = np.zeros(2 * self._hop + 2 * self._search + round(2 * self._hop * self.speed), np.float32)
        parts: list[Samples] = []
        made = 0
        while made < wanted:
            self._buffer = np.concatenate((self._buffer, silence))
            pieces = self._windows()
            parts += pieces
            made += sum(map(len, pieces))
        frame = self._made(parts, wanted)
        self.reset()
        return frame

    def _made(self, parts: list[Samples], limit: int | None = None) -> AudioFrame:
        import numpy as np

        position = self._produced
        if not parts or limit == 0:
            return AudioFrame(b"", self.sample_rate, position_samples=position)
        samples = np.concatenate(parts) if len(parts) > 1 else parts[0]
        samples = samples[:limit] if limit is not None else samples
        self._produced += len(samples)
        data = np.clip(np.rint(samples), -32768.0, 32767.0).astype("<i2").tobytes()
        return AudioFrame(data, self.sample_rate, position_samples=position)

    def _windows(self) -> list[Samples]:
        """The first halves of every window that can be made now."""
        made: list[Samples] = []
        done = self._produced
        hop, search = self._hop, self._search
        fade_out = self._fade_in[::-1]
        while True:
            ideal = round(done * self.speed)
            end = self._origin + len(self._buffer)
            if max(ideal + search, self._taken) + 2 * hop > end:
                break
            at = ideal if self._overlap is None else self._best(ideal)
            window = self._buffer[at - self._origin : at - self._origin + 2 * hop]
            if self._overlap is None:
                made.append(window[:hop])
            else:
                made.append(self._overlap + window[:hop] * self._fade_in)
            self._overlap = window[hop:] * fade_out
            self._taken = at + hop
            done += hop
        keep = max(0, min(round(done * self.speed) - search, self._taken) - self._origin)
        keep = min(keep, len(self._buffer))
        self._buffer = self._buffer[keep:]
        self._origin += keep
        return made

    def _best(self, ideal: int) -> int:
        """Where near a place the input is most like what follows the newest window by nature."""
        import numpy as np

        hop, origin = self._hop, self._origin
        low = max(ideal - self._search, origin)
        high = ideal + self._search
        template = self._buffer[self._taken - origin : self._taken - origin + hop]
        region = self._buffer[low - origin : high - origin + hop]
        # Coarse: every second sample, of every second place.
        thin, thin_region = template[::2], region[::2]
        likeness = np.correlate(thin_region, thin, "valid")
        energy = np.concatenate(([0.0], np.cumsum(thin_region.astype(np.float64) ** 2)))
        power = energy[len(thin) :] - energy[: -len(thin)]
        score = likeness / np.sqrt(power + 1e3)
        coarse = 2 * int(np.argmax(score))
        best, best_score = coarse, -np.inf
        for place in range(max(0, coarse - 1), min(high - low, coarse + 1) + 1):
            piece = region[place : place + hop]
            fine = float(np.dot(piece, template)) / float(np.sqrt(np.dot(piece, piece) + 1e3))
            if fine > best_score:
                best, best_score = place, fine
        return low + best
