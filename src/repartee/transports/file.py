"""Sound files as a caller, and a file of the call: `FileInput`, `RecordingOutput`, `CallRecorder`.

Both ends are paced by the event loop's clock, as devices are by theirs, so a conversation over files takes as long as
it would take at a telephone; on a loop with virtual time it takes no time and is exact.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from repartee.audio import AudioFrame, AudioReader, Gain, open_audio
from repartee.errors import AudioFormatError, ReparteeError, StateError
from repartee.io import AudioInput, AudioOutput, OutputCapabilities, PlaybackPosition
from repartee.transports.recorder import CallRecorder

__all__ = ["CallRecorder", "FileInput", "PlayedFile", "RecordedInput", "RecordingOutput"]

PathLike = str | os.PathLike[str]

_READ_MS = 500.0
_AUDIBLE = 330
"""-40 dBFS: the end of speech is the last sample above it."""


# -- the caller ------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class PlayedFile:
    """One file's way through a `FileInput`. Positions are samples of the input, counted from its beginning."""

    path: str
    start_samples: int | None = None
    """Where its first sample lies; ``None`` until it begins."""
    end_samples: int | None = None
    """Where it ends; ``None`` until then."""
    speech_end_samples: int | None = None
    """Behind its last sample louder than -40 dBFS so far: the true end of speech once the file has ended."""
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    async def finished(self) -> None:
        """Wait for its end, or for that of the input."""
        await self._done.wait()


class FileInput(AudioInput):
    """Plays sound files one after another, as a microphone would hear them: silence before, between and after.

    It begins when it is first iterated. A frame comes when its last sample's time has come; a reader that is late
    gets at once what is due. One reader.

    Args:
        paths: what is played, in order. Default: nothing, until `play`.
        sample_rate: of the frames, in Hz; files of other rates are resampled. Default: 24000.
        ptime_ms: length of a frame. Default: 20.
        lead_ms: silence before the first file. Default: 0.
        gap_ms: silence between one and the next. Default: 1500.
        trailing_ms: silence after the last; then the input ends. ``None``: it goes on until `aclose`, and `play`
            may always add another. Default: ``None``.
        realtime: pace by the event loop's clock; ``False`` gives frames as fast as they are read. Default: ``True``.

    Raises:
        AudioFormatError: a file is missing, or not a sound file that can be read.
    """

    def __init__(
        self,
        paths: PathLike | Iterable[PathLike] = (),
        *,
        sample_rate: int = 24_000,
        ptime_ms: float = 20.0,
        lead_ms: float = 0.0,
        gap_ms: float = 1500.0,
        trailing_ms: float | None = None,
        realtime: bool = True,
    ) -> None:
        self.sample_rate = sample_rate
        self.frame_samples = max(1, round(sample_rate * ptime_ms / 1000))
        self._gap_samples = round(gap_ms * sample_rate / 1000)
        self._trailing_samples = None if trailing_ms is None else round(trailing_ms * sample_rate / 1000)
        self._silence = round(lead_ms * sample_rate / 1000)
        self._realtime = realtime
        self._tracks: deque[_Track] = deque()  # bounded by the files that the caller adds
        self._position = 0
        self._started_s: float | None = None
        self._sleep: asyncio.Future[None] | None = None
        self._closed = False
        self._ready: AudioFrame | None = None
        self.played: list[PlayedFile] = []
        """Every file, in order, with what is known of it."""
        each = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        try:
            for path in each:
                self.play(path)
        except AudioFormatError:
            self._close_tracks()
            raise

    @property
    def started_s(self) -> float | None:
        """Loop time of position 0; ``None`` until it is iterated."""
        return self._started_s

    @property
    def position_samples(self) -> int:
        """How much was given."""
        return self._position

    def play(self, path: PathLike, *, after_ms: float | None = None) -> PlayedFile:
        """Play one more file: with the next frame, or behind those that still play or wait.

        Args:
            path: the file.
            after_ms: silence before it. Default: none if nothing plays or waits (an interruption at a moment that
                the caller chose), else ``gap_ms``.

        Raises:
            AudioFormatError: it is missing, or not a sound file that can be read.
            StateError: the input is closed, or has ended.
        """
        if self._closed:
            raise StateError("this input has ended; play() needs an open one")
        reader = open_audio(path, sample_rate=self.sample_rate, frame_ms=_READ_MS)
        played = PlayedFile(os.fspath(path))
        if after_ms is not None:
            before = round(after_ms * self.sample_rate / 1000)
        else:
            before = self._gap_samples if self._tracks else 0
        self._tracks.append(_Track(reader, played, before))
        self.played.append(played)
        return played

    def __aiter__(self) -> AsyncIterator[AudioFrame]:
        return self

    async def __anext__(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        if self._started_s is None:
            self._started_s = loop.time()
        if self._closed or (self._ready is None and self._is_over()):
            await self.aclose()
            raise StopAsyncIteration
        if self._ready is None:
            # Rendered before its time has come, so that what `play` adds meanwhile lies in the future; and kept
            # until it is given, so that a reader who is cancelled loses nothing.
            data = await self._render(self.frame_samples)
            self._ready = AudioFrame(data, self.sample_rate, position_samples=self._position)
        if self._realtime:
            await self._wait_until(self._started_s + self._ready.end_samples / self.sample_rate)
        frame, self._ready = self._ready, None
        if self._closed or frame is None:
            raise StopAsyncIteration
        self._position = frame.end_samples
        return frame

    def _is_over(self) -> bool:
        return not self._tracks and self._trailing_samples is not None and self._trailing_samples <= 0

    async def _render(self, count: int) -> bytes:
        parts: list[bytes] = []
        while count > 0:
            silence = self._silence or (self._tracks[0].before if self._tracks else count)
            if silence:
                taken = min(silence, count)
                parts.append(bytes(2 * taken))
                self._count_silence(taken)
            else:
                data = await self._tracks[0].take(count)
                at = self._position + self.frame_samples - count
                taken = self._count_sound(self._tracks[0], data, at)
                parts.append(data)
            count -= taken
        return b"".join(parts)

    def _count_silence(self, taken: int) -> None:
        if self._silence:
            self._silence -= taken
        elif self._tracks:
            self._tracks[0].before -= taken
        elif self._trailing_samples is not None:
            self._trailing_samples -= taken

    def _count_sound(self, track: _Track, data: bytes, at: int) -> int:
        played, taken = track.played, len(data) // 2
        if played.start_samples is None:
            played.start_samples = at
        loud = _last_loud(data)
        if loud:
            played.speech_end_samples = at + loud
        if track.is_over:
            played.end_samples = at + taken
            played._done.set()
            track.reader.close()
            self._tracks.popleft()
        return taken

    async def _wait_until(self, when_s: float) -> None:
        loop = asyncio.get_running_loop()
        if when_s <= loop.time():
            return
        self._sleep = loop.create_future()
        timer = loop.call_at(when_s, _set, self._sleep)
        try:
            await self._sleep
        finally:
            timer.cancel()
            self._sleep = None

    async def aclose(self) -> None:
        self._closed = True
        self._close_tracks()
        if self._sleep is not None:
            _set(self._sleep)

    def _close_tracks(self) -> None:
        for track in self._tracks:
            track.reader.close()
            track.played._done.set()
        self._tracks.clear()


@dataclass(slots=True, eq=False)
class _Track:
    """A file being read, half a second at a time, in a thread."""

    reader: AudioReader
    played: PlayedFile
    before: int
    """Samples of silence before it."""
    waiting: bytes = b""
    is_over: bool = False

    async def take(self, count: int) -> bytes:
        """Up to so many samples, and whether that is the end."""
        if not self.waiting:
            await self._read()
        data, self.waiting = self.waiting[: 2 * count], self.waiting[2 * count :]
        if not self.waiting:
            await self._read()
        return data

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        frame = await loop.run_in_executor(None, partial(next, self.reader, None))
        self.waiting = frame.data if frame is not None else b""
        self.is_over = frame is None


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _last_loud(data: bytes) -> int:
    """Samples up to and with the last loud one."""
    import numpy as np

    loud = np.flatnonzero(np.abs(np.frombuffer(data, "<i2").astype(np.int32)) > _AUDIBLE)
    return int(loud[-1]) + 1 if len(loud) else 0


class RecordedInput(AudioInput):
    """Any input, with what it gives recorded as the caller.

    Args:
        source: the input.
        recorder: takes each frame with the loop time of its first sample.
    """

    def __init__(self, source: AudioInput, recorder: CallRecorder) -> None:
        self.sample_rate = source.sample_rate
        self._source = source
        self._recorder = recorder

    async def __aiter__(self) -> AsyncIterator[AudioFrame]:
        zero_s: float | None = None
        async for frame in self._source:
            if zero_s is None:
                # A frame comes when it is complete. The first one fixes where position 0 lies; arrival times
                # of the others jitter, their positions don't.
                zero_s = asyncio.get_running_loop().time() - frame.end_samples / frame.sample_rate
            self._recorder.caller(frame, zero_s + frame.position_samples / frame.sample_rate)
            yield frame

    async def aclose(self) -> None:
        await self._source.aclose()


# -- the loudspeaker -------------------------------------------------------------------------------------------


class RecordingOutput(AudioOutput):
    """A loudspeaker that nobody hears: it plays by the event loop's clock, and hands on what was audible.

    It begins to play in the moment of a `write`, and stops to the sample in that of a `pause` or `clear`. At most
    ``limit_s`` wait to be played; a write beyond that is refused, since dropping speech in its middle would be worse.

    Args:
        recorder: takes what is audible. Default: nobody.
        sample_rate: in Hz. Default: 24000.
        ptime_ms: how much is played between two positions (one also comes when it runs dry). Default: 20.
        ramp_ms: how long the way to another gain takes. Default: 10.
        limit_s: seconds that may wait. Default: 120.
    """

    def __init__(
        self,
        recorder: CallRecorder | None = None,
        *,
        sample_rate: int = 24_000,
        ptime_ms: float = 20.0,
        ramp_ms: float = 10.0,
        limit_s: float = 120.0,
    ) -> None:
        self.sample_rate = sample_rate
        self.capabilities = OutputCapabilities()
        self._recorder = recorder
        self._step = max(1, round(ptime_ms * sample_rate / 1000))
        self._ramp_ms = ramp_ms
        self._limit_samples = round(limit_s * sample_rate)
        self._gain = Gain(sample_rate, ramp_ms=ramp_ms)
        self._queue: deque[AudioFrame] = deque()  # bounded: `write` refuses what is beyond `limit_s`
        self._queued = 0
        self._position = 0
        self._base_s: float | None = None  # loop time when the running stretch began; None while silent
        self._base_position = 0
        self._paused = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._on_position: Callable[[PlaybackPosition], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def position_samples(self) -> int:
        """How much was played by the last event."""
        return self._position

    @property
    def queued_samples(self) -> int:
        """How much waits to be played."""
        return self._queued

    def open(
        self,
        *,
        on_position: Callable[[PlaybackPosition], None],
        on_error: Callable[[ReparteeError], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_position = on_position

    def write(self, frame: AudioFrame) -> None:
        loop = self._opened("write")
        if frame.sample_rate != self.sample_rate or frame.channels != 1:
            raise AudioFormatError(
                f"this output plays mono at {self.sample_rate} Hz, not {frame.channels} channel(s) at "
                f"{frame.sample_rate} Hz: resample or mix the frame first"
            )
        self._settle(loop.time())
        if self._queued + frame.samples > self._limit_samples:
            raise StateError(
                f"{self._queued / self.sample_rate:.0f} s of audio already wait to be played: keep to the output's "
                "max_lead_ms"
            )
        if frame.samples:
            self._queue.append(frame)
            self._queued += frame.samples
            self._go(loop.time())

    def clear(self) -> None:
        loop = self._opened("clear")
        self._settle(loop.time())
        self._queue.clear()
        self._queued = 0
        self._paused = False
        self._gain = Gain(self.sample_rate, ramp_ms=self._ramp_ms)
        self._stop()
        loop.call_soon(self._report, PlaybackPosition(self._position, cleared=True))

    def pause(self) -> None:
        loop = self._opened("pause")
        self._settle(loop.time())
        if not self._paused:
            self._paused = True
            self._stop()
            loop.call_soon(self._report, PlaybackPosition(self._position))

    def resume(self) -> None:
        loop = self._opened("resume")
        self._paused = False
        self._go(loop.time())

    def set_gain(self, db: float) -> None:
        self._settle(self._opened("set_gain").time())
        self._gain.set(db)

    async def aclose(self) -> None:
        if self._loop is not None and not self._closed:
            self._settle(self._loop.time())
        self._closed = True
        self._stop()
        self._queue.clear()
        self._queued = 0

    def _opened(self, call: str) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._closed:
            raise StateError(f"{call}() needs an open output: open() comes first, and nothing after aclose()")
        return self._loop

    def _go(self, now_s: float) -> None:
        """Begin to play where that is possible, and see to the next position."""
        if self._paused or not self._queue:
            return
        if self._base_s is None:
            self._base_s, self._base_position = now_s, self._position
        if self._timer is None:
            ahead = min(self._step - (self._position - self._base_position) % self._step, self._queued)
            when_s = self._base_s + (self._position - self._base_position + ahead) / self.sample_rate
            assert self._loop is not None
            self._timer = self._loop.call_at(when_s, self._on_timer, self._position + ahead)

    def _stop(self) -> None:
        self._base_s = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self, due: int) -> None:
        self._timer = None
        assert self._loop is not None
        # The timer means that `due` has been played, whatever rounding makes of its time.
        self._settle(self._loop.time(), at_least=due)
        self._report(PlaybackPosition(self._position))
        self._go(self._loop.time())

    def _settle(self, now_s: float, at_least: int = 0) -> None:
        """Play what must have been played by now."""
        if self._base_s is None:
            return
        due = int((now_s - self._base_s) * self.sample_rate + 1e-6) + self._base_position
        count = min(max(due, at_least) - self._position, self._queued)
        at_s = self._base_s + (self._position - self._base_position) / self.sample_rate
        while count > 0:
            frame = self._queue.popleft()
            if frame.samples > count:
                self._queue.appendleft(frame.slice(count))
                frame = frame.slice(0, count)
            self._queued -= frame.samples
            self._position += frame.samples
            count -= frame.samples
            if self._recorder is not None:
                self._recorder.agent(self._gain.push(frame), at_s)
            at_s += frame.samples / self.sample_rate
        if not self._queue:
            self._stop_dry()

    def _stop_dry(self) -> None:
        # What is written next begins a new stretch; the timer, if it is armed, still reports this one's end.
        self._base_s = None

    def _report(self, position: PlaybackPosition) -> None:
        if not self._closed and self._on_position is not None:
            self._on_position(position)
