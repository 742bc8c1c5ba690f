"""`Detection`: a VAD that reads a tape, a little ahead of its results, and is replaced when it fails.

A VAD drops what waits too long, and a client may send minutes of audio at once. So no more is pushed than `AHEAD_S`
ahead of the last result; the rest waits on the tape. What a failed detector still owed is on the tape as well, and its
successor hears it again, unless it is the audio itself that makes them fail.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from repartee.audio import AudioFrame
from repartee.clock import Clock
from repartee.compose.tasks import TaskOwner
from repartee.errors import ModelError, ModelTimeoutError
from repartee.models import VAD, SpeechProbability, VADStream
from repartee.server.hearing.tape import Tape

__all__ = ["Detection"]

AHEAD_S: Final = 0.48
"""Most audio that is pushed and has no result yet. A VAD keeps about a second of it."""
REOPEN_AFTER_S: Final = 1.0
"""A detector that fails is replaced at once, and one that fails soon again after this time."""
STALL_S: Final = 2.0
"""One that gives nothing for audio that is so old has stalled."""
UP_TO_DATE_S: Final = 0.1


class Detection:
    """One session's detector.

    Args:
        vad: makes the streams.
        tape: what it reads (PCM16), from its end on.
        clock: session time.
        on_window: called with each window's probability and its end, in seconds of the session's audio.
        on_error: called when a detector is lost.
    """

    def __init__(
        self,
        vad: VAD,
        tape: Tape,
        *,
        clock: Clock,
        on_window: Callable[[float, float], None],
        on_error: Callable[[ModelError], None],
    ) -> None:
        self._vad = vad
        self._clock = clock
        self._on_window = on_window
        self._on_error = on_error
        self._tasks = TaskOwner(self._crashed)
        self._stream: VADStream | None = None
        self._streams = 0
        self._reopen_s = -REOPEN_AFTER_S
        self._asked_s = clock.now()  # when the oldest audio was pushed that has no result
        self.told_s = self._asked_s
        """Session time of the last result."""
        self._busy = False
        self.due = 0
        """The sample with which there is something to do for `pump`: before it comes, it need not be called."""
        self.read(tape, tape.end)

    def read(self, tape: Tape, start: int) -> None:
        """Go on with another tape, from that sample on."""
        self._drop()
        self._tape = tape
        self._ahead = int(AHEAD_S * tape.rate)
        self._slack = int(UP_TO_DATE_S * tape.rate)
        self._window = tape.rate * self._vad.capabilities.window_ms // 1000
        self._base = self._heard = self._pushed = start
        self.due = 0

    @property
    def heard_s(self) -> float:
        """Up to where the audio has results."""
        return self._tape.to_s(self._heard)

    @property
    def caught_up(self) -> bool:
        """Whether no whole window waits for its result."""
        return self._tape.end - self._heard < self._window

    def pump(self, now: float | None = None) -> None:
        """Push what may be pushed, once it is a window: the detector has no use for less.

        Args:
            now: session time. Default: the clock's.
        """
        if self._busy:
            return
        tape, stream = self._tape, self._stream
        up_to_date = self._pushed - self._heard < self._slack
        if stream is not None and up_to_date and (waits := tape.end - self._pushed) < 2 * self._window:
            if waits >= self._window:  # the usual: audio comes as it is spoken
                self._asked_s = self._clock.now() if now is None else now
                self._push(stream, self._window)
            return
        now = self._clock.now() if now is None else now
        if stream is None:
            if now < self._reopen_s:
                return
            stream = self._open(now)
        elif up_to_date:
            self._asked_s = now
        elif now - self._asked_s > STALL_S:
            self._lost(ModelTimeoutError(f"the VAD has given nothing for {STALL_S:g} s", stage="vad"))
            return
        self._busy = True
        try:
            while (waits := tape.end - self._pushed) >= self._window and stream is self._stream:
                room = self._ahead - (self._pushed - self._heard)
                if room < self._window or (waits > room and 2 * room < self._ahead):
                    break  # a few large pieces cost less than many small ones
                self._push(stream, min(waits, room) // self._window * self._window)
        finally:
            self._busy = False

    def _push(self, stream: VADStream, samples: int) -> None:
        """The next audio, whole windows of it."""
        tape, start = self._tape, self._pushed
        self._pushed = stop = start + samples
        self.due = stop + self._window if stop - self._heard < self._slack else 0
        stream.push(AudioFrame(tape.cut(start, stop), tape.rate, 1, start))

    def _open(self, now: float) -> VADStream:
        self._streams += 1
        number = self._streams
        self._base = self._pushed = self._heard = max(self._heard, self._tape.start)
        self._asked_s = now
        self._stream = stream = self._vad.stream(
            sample_rate=self._tape.rate,
            on_result=partial(self._told, number),
            on_error=partial(self._failed, number),
        )
        return stream

    def _told(self, number: int, result: SpeechProbability) -> None:
        if number != self._streams or self._stream is None:
            return
        self._heard = self._base + result.end_position_samples
        self._asked_s = self.told_s = self._clock.now()
        self._on_window(result.probability, self._tape.to_s(self._heard))
        if self._tape.end - self._pushed >= self._window:
            self.pump()

    def _failed(self, number: int, error: ModelError) -> None:
        if number == self._streams and self._stream is not None:
            self._lost(error)

    def _lost(self, error: ModelError) -> None:
        """The detector is lost: try a new one, at once unless the last one was lost a moment ago."""
        if self._heard == self._base:
            self._heard = self._pushed  # it gave nothing at all: perhaps it is the audio
        self._drop()
        now = self._clock.now()
        self._reopen_s = now if now >= self._reopen_s + REOPEN_AFTER_S else now + REOPEN_AFTER_S
        self._on_error(error)

    def _drop(self) -> None:
        if self._stream is not None:
            self._tasks.finish(self._stream.aclose(), name="detection.close_vad")
            self._stream = None
            self.due = 0

    def close(self) -> None:
        """Stop detecting; `aclose` waits for the end."""
        self._drop()

    async def aclose(self) -> None:
        """Release the detector."""
        self._drop()
        await self._tasks.aclose()

    def _crashed(self, error: Exception) -> None:
        self._on_error(
            ModelError(f"closing a VAD stream failed with {type(error).__name__}: {error}", stage="vad")
        )
