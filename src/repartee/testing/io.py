"""A microphone, a loudspeaker and a caption line in memory, paced by the event loop's time.

On a `virtual_time` loop they are exact: what the loudspeaker's record says was audible at a time is right to the
sample, and the caller's words fall where the script put them.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from repartee.audio import AudioFrame
from repartee.errors import DeviceError, ReparteeError, StateError, UsageError
from repartee.io import AudioInput, AudioOutput, OutputCapabilities, PlaybackPosition, TextOutput
from repartee.testing import speech
from repartee.testing._delay import DelayLine
from repartee.testing.speech import DecodedWord, Speech, SpeechDecoder, TimedText
from repartee.testing.virtual_time import sleep_until

__all__ = ["Heard", "MemoryInput", "MemoryOutput", "MemoryTextOutput"]


# -- the microphone --------------------------------------------------------------------------------------------


class MemoryInput(AudioInput):
    """A microphone that hears what a test says: scripted speech, noise, and silence otherwise.

    It begins when it is first iterated, and gives each frame once its last sample's time has come. Times (``at``) are
    seconds of its own audio, which are the loop's time where it begins at 0. ``ScriptedVAD()`` and ``ScriptedSTT()``
    find the words in the audio itself; `said` lists them for others.

    Args:
        sample_rate: in Hz. Default: 24000.
        frame_ms: length of a frame. Default: 20.
    """

    def __init__(self, *, sample_rate: int = 24_000, frame_ms: int = 20) -> None:
        self.sample_rate = sample_rate
        self.frame_samples = sample_rate * frame_ms // 1000
        self.started_s: float | None = None
        """Loop time of its first sample; ``None`` until then."""
        self.said: list[Speech] = []
        """All speech so far, in order."""
        self.closed = False
        self._sounds: list[tuple[int, bytes]] = []  # what was scripted and not yet given, in order
        self._booked_samples = 0
        self._given_samples = 0
        self._end_samples: int | None = None
        self._error: DeviceError | None = None

    # -- scripting -----------------------------------------------------------------------------------------------

    def speak(self, text: str, at: float | None = None, *, words_per_s: float = 3.0) -> Speech:
        """Say something.

        Args:
            text: its words are spoken one after another, without pauses.
            at: when, in seconds of this input's audio. Default: at once, or behind what was scripted before.
            words_per_s: pace. Default: 3.

        Returns:
            what is said when.

        Raises:
            UsageError: that time has passed, or something else sounds then, or there are no words.
        """
        if not text.split():
            raise UsageError("there is nothing to say; for sound without words use noise()")
        start = self._start_of(at)
        said = Speech(text, start / self.sample_rate, words_per_s)
        ends = [round(word.end_s * self.sample_rate) - start for word in said.words]
        self._book(start, speech.encode([word.text for word in said.words], ends))
        self.said.append(said)
        return said

    async def say(self, text: str, *, words_per_s: float = 3.0) -> Speech:
        """Say something now (or behind what was scripted before), and return when its last sample was given.

        Raises:
            StateError: nothing reads this input.
        """
        said = self.speak(text, words_per_s=words_per_s)
        await self.reached(said.end_s)
        return said

    def noise(self, at: float | None = None, duration_s: float = 0.5) -> None:
        """Sound without words, at a time as in `speak`.

        Raises:
            UsageError: that time has passed, or something else sounds then.
        """
        self._book(self._start_of(at), speech.noise(round(duration_s * self.sample_rate)))

    def play(self, audio: bytes, at: float | None = None) -> None:
        """Any sound: PCM16 mono at this input's rate, at a time as in `speak`.

        Raises:
            UsageError: that time has passed, or something else sounds then.
        """
        self._book(self._start_of(at), audio)

    def end(self, at: float | None = None) -> None:
        """End the audio at a time as in `speak`, with the frame that reaches it."""
        self._end_samples = self._start_of(at)

    def fail(self, at: float | None = None, error: DeviceError | None = None) -> None:
        """Lose the device at a time as in `speak`: iteration raises ``error`` (default: a `DeviceError`)."""
        self._error = error or DeviceError("the scripted microphone went away")
        self.end(at)

    async def reached(self, at: float) -> None:
        """Wait until the audio has been given up to a time.

        Raises:
            StateError: nothing reads this input.
        """
        await asyncio.sleep(0)
        started_s = self.started_s
        if started_s is None:
            raise StateError("nothing reads this input yet; start the session first")
        frames = -(-round(at * self.sample_rate) // self.frame_samples)
        await sleep_until(started_s + frames * self.frame_samples / self.sample_rate)

    def _start_of(self, at: float | None) -> int:
        if at is not None:
            return round(at * self.sample_rate)
        elapsed = 0.0
        if self.started_s is not None:
            elapsed = asyncio.get_running_loop().time() - self.started_s
        return max(round(elapsed * self.sample_rate), self._given_samples, self._booked_samples)

    def _book(self, start: int, audio: bytes) -> None:
        end = start + len(audio) // 2
        if start < self._given_samples:
            raise UsageError(
                f"{start / self.sample_rate:.3f} s has passed: the audio has been given up to "
                f"{self._given_samples / self.sample_rate:.3f} s"
            )
        for other, data in self._sounds:
            if start < other + len(data) // 2 and other < end:
                raise UsageError(f"something else sounds at {max(start, other) / self.sample_rate:.3f} s")
        bisect.insort(self._sounds, (start, audio))
        self._booked_samples = max(self._booked_samples, end)

    # -- reading -------------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[AudioFrame]:
        # Not a generator: who leaves the loop over it midway has nothing to close.
        return _Frames(self._next_frame)

    async def _next_frame(self) -> AudioFrame | None:
        if self.started_s is None:
            self.started_s = asyncio.get_running_loop().time()
        position = self._given_samples
        if self.closed:
            return None
        if self._end_samples is not None and position >= self._end_samples:
            if self._error is not None:
                raise self._error
            return None
        end = position + self.frame_samples
        # A reader that is late gets at once what is due; nothing piles up, since frames are made when asked for.
        due_s = self.started_s + end / self.sample_rate
        if due_s > asyncio.get_running_loop().time():
            await sleep_until(due_s)
        if self._is_closed():
            return None
        self._given_samples = end
        return AudioFrame(self._render(position, end), self.sample_rate, position_samples=position)

    def _is_closed(self) -> bool:
        return self.closed

    def _render(self, start: int, end: int) -> bytes:
        if not self._sounds or self._sounds[0][0] >= end:
            return bytes(2 * (end - start))
        out = bytearray(2 * (end - start))
        for at, data in self._sounds:
            first, last = max(start, at), min(end, at + len(data) // 2)
            if first < last:
                out[2 * (first - start) : 2 * (last - start)] = data[2 * (first - at) : 2 * (last - at)]
        self._sounds = [(at, data) for at, data in self._sounds if at + len(data) // 2 > end]
        return bytes(out)

    async def aclose(self) -> None:
        self.closed = True


class _Frames:
    """Iterates a `MemoryInput`."""

    def __init__(self, next_frame: Callable[[], Awaitable[AudioFrame | None]]) -> None:
        self._next_frame = next_frame

    def __aiter__(self) -> _Frames:
        return self

    async def __anext__(self) -> AudioFrame:
        frame = await self._next_frame()
        if frame is None:
            raise StopAsyncIteration
        return frame


# -- the loudspeaker -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """A stretch of audio that sounded without a break."""

    start_s: float
    """Loop time of its first sample."""
    data: bytes
    """PCM16 mono."""
    sample_rate: int
    position_samples: int
    """Playback position of its first sample."""
    written_samples: int
    """Where it begins in all that was ever written, dropped audio counted."""
    gain_db: float = 0.0

    @property
    def samples(self) -> int:
        """Its length."""
        return len(self.data) // 2

    @property
    def end_s(self) -> float:
        """Loop time behind its last sample."""
        return self.start_s + self.samples / self.sample_rate


class _Stock:
    """What was written and has not been played."""

    __slots__ = ("pieces", "samples", "samples_max", "written_samples")

    def __init__(self) -> None:
        # Index among all written samples, and data.
        self.pieces: deque[tuple[int, bytes]] = deque()  # bounded by the lead that its writer keeps
        self.samples = 0
        self.samples_max = 0
        self.written_samples = 0

    def put(self, data: bytes) -> None:
        self.pieces.append((self.written_samples, data))
        self.written_samples += len(data) // 2
        self.samples += len(data) // 2
        self.samples_max = max(self.samples_max, self.samples)

    def take(self, count: int) -> tuple[int, bytes]:
        """The next samples, at most those of the first piece, and their index."""
        index, data = self.pieces.popleft()
        if count < len(data) // 2:
            self.pieces.appendleft((index + count, data[2 * count :]))
            data = data[: 2 * count]
        self.samples -= len(data) // 2
        return index, data

    def keep(self, count: int) -> None:
        """Drop all but the first samples."""
        kept = []
        while self.pieces and count > 0:
            index, data = self.take(count)
            kept.append((index, data))
            count -= len(data) // 2
        self.pieces.clear()
        self.pieces.extend(kept)
        self.samples = sum(len(data) // 2 for _, data in kept)


class _Reporter:
    """Tells who opened the output what has been played, late and in order."""

    __slots__ = ("_lag_s", "_on_position", "_reported", "line", "on_error")

    def __init__(
        self,
        lag_s: float,
        on_position: Callable[[PlaybackPosition], None],
        on_error: Callable[[ReparteeError], None],
    ) -> None:
        self.line = DelayLine()
        self.on_error = on_error
        self._lag_s = lag_s
        self._on_position = on_position
        self._reported = -1

    def report(self, position: PlaybackPosition) -> None:
        """Tell a position, unless it was told before."""
        if position.cleared or position.position_samples != self._reported:
            self._reported = position.position_samples
            self.line.after(self._lag_s, self._on_position, position)


class MemoryOutput(AudioOutput):
    """A loudspeaker that keeps an exact record of what was audible when.

    It begins to play in the moment of a `write`, and stops to the sample in that of a `pause` or `clear`.

    Args:
        sample_rate: in Hz. Default: 24000.
        granularity_ms: how much is played between two positions (one also comes when it runs dry). Default: 20.
        ack_lag_s: how late a position arrives. Default: 0.
        device_buffer_ms: how much of what was written `clear` can't reach any more. Default: 0.
        capabilities: default: pausable, with gain, 200 ms of lead, acknowledging.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 24_000,
        granularity_ms: float = 20.0,
        ack_lag_s: float = 0.0,
        device_buffer_ms: float = 0.0,
        capabilities: OutputCapabilities | None = None,
    ) -> None:
        self.sample_rate = sample_rate
        self.capabilities = capabilities or OutputCapabilities()
        self.granularity_samples = max(1, round(granularity_ms * sample_rate / 1000))
        self.ack_lag_s = ack_lag_s
        self.device_buffer_samples = round(device_buffer_ms * sample_rate / 1000)
        self.record: list[Heard] = []
        """What sounded, in order; a stretch for each granularity, gain and break. Up to the last event: `settle`
        brings it up to date."""
        self.writes: list[tuple[float, AudioFrame]] = []
        """What was written, and when (loop time)."""
        self.clears_s: list[float] = []
        """Loop times at which `clear` was called."""
        self.paused = False
        self.closed = False
        self.gain_db = 0.0
        self._reporter: _Reporter | None = None
        self._stock = _Stock()
        self._position = 0
        self._marks: deque[int] = deque()  # positions at which a clear is over; bounded by the calls of clear
        self._base: tuple[float, int] | None = None  # time and position at which the running stretch began
        self._timer: asyncio.TimerHandle | None = None
        self._stalled = False

    # -- the interface -------------------------------------------------------------------------------------------

    def open(
        self,
        *,
        on_position: Callable[[PlaybackPosition], None],
        on_error: Callable[[ReparteeError], None],
    ) -> None:
        self._reporter = _Reporter(self.ack_lag_s, on_position, on_error)

    def write(self, frame: AudioFrame) -> None:
        if self._reporter is None or self.closed:
            raise StateError(
                "write() needs an open output: call open() first, and none of both after aclose()"
            )
        if frame.sample_rate != self.sample_rate or frame.channels != 1:
            raise UsageError(
                f"this output plays mono at {self.sample_rate} Hz, "
                f"not {frame.channels} channels at {frame.sample_rate} Hz"
            )
        self.settle()
        self.writes.append((asyncio.get_running_loop().time(), frame))
        if frame.samples:
            self._stock.put(frame.data)
            self._go()

    def clear(self) -> None:
        self.settle()
        self.clears_s.append(asyncio.get_running_loop().time())
        kept = 0 if self.paused or self._base is None else self.device_buffer_samples
        self.paused = False
        self.gain_db = 0.0
        self._stock.keep(kept)
        self._marks.append(self._position + self.queued_samples)
        self._pass_marks()
        self._disarm()
        self._go()

    def pause(self) -> None:
        if not self.capabilities.pause:
            return
        self.settle()
        self.paused = True
        self._stop()

    def resume(self) -> None:
        self.settle()
        self.paused = False
        self._go()

    def set_gain(self, db: float) -> None:
        if self.capabilities.gain:
            self.settle()
            self.gain_db = db

    async def aclose(self) -> None:
        if self._reporter is not None and not self.closed:
            self.settle()
            self._reporter.line.close()
        self.closed = True
        self._stop()
        self._stock.keep(0)

    # -- faults --------------------------------------------------------------------------------------------------

    def fail(self, error: ReparteeError | None = None) -> None:
        """Lose the device now: playing stops, and the error is reported."""
        self.stall()
        if self._reporter is None:
            raise StateError("fail() needs an open output: call open() first")
        reporter = self._reporter
        reporter.line.after(
            0.0, reporter.on_error, error or DeviceError("the scripted loudspeaker went away")
        )

    def stall(self) -> None:
        """Stop playing and acknowledging now, without a word."""
        self.settle()
        self._stalled = True
        self._stop()

    # -- what was heard ------------------------------------------------------------------------------------------

    @property
    def position_samples(self) -> int:
        """How much was played by the last event."""
        return self._position

    @property
    def written_samples(self) -> int:
        """How much was ever written."""
        return self._stock.written_samples

    @property
    def queued_samples(self) -> int:
        """How much waits to be played."""
        return self._stock.samples

    @property
    def queued_samples_max(self) -> int:
        """The most that ever waited to be played."""
        return self._stock.samples_max

    def heard(self, since_s: float = 0.0, until_s: float = float("inf")) -> bytes:
        """What sounded between two loop times, without the breaks: PCM16 mono."""
        self._settle_if_running()
        parts = []
        for part in self.record:
            first = max(0, round((since_s - part.start_s) * self.sample_rate))
            last = part.samples
            if until_s < part.end_s:
                last = round((until_s - part.start_s) * self.sample_rate)
            if first < last:
                parts.append(part.data[2 * first : 2 * last])
        return b"".join(parts)

    def heard_words(self, since_s: float = 0.0) -> list[TimedText]:
        """The scripted words that sounded, with loop times; a word cut short is there as far as it was heard."""
        self._settle_if_running()
        parts = [part for part in self.record if part.end_s > since_s]
        decoder = SpeechDecoder(self.sample_rate)
        found: list[DecodedWord] = []
        for before, part in zip([None, *parts], parts, strict=False):
            if before is not None and part.written_samples != before.written_samples + before.samples:
                found += _as_list(decoder.finish())  # what is between them was dropped: it was cut off here
            found += decoder.feed(part.data)
        found += _as_list(decoder.finish())
        starts = [0, *itertools.accumulate(part.samples for part in parts)]

        def time_of(sample: int, *, is_end: bool) -> float:
            at = next(
                i for i in range(len(parts)) if sample < starts[i + 1] or (is_end and sample == starts[i + 1])
            )
            return round(parts[at].start_s + (sample - starts[at]) / self.sample_rate, 9)

        return [
            TimedText(
                word.text, time_of(word.start_samples, is_end=False), time_of(word.end_samples, is_end=True)
            )
            for word in found
        ]

    def heard_text(self, since_s: float = 0.0) -> str:
        """The scripted words that sounded, joined by spaces."""
        return " ".join(word.text for word in self.heard_words(since_s))

    def spans(self) -> list[tuple[float, float]]:
        """When there was sound other than silence: loop times of beginning and end, to the sample."""
        self._settle_if_running()
        spans: list[tuple[float, float]] = []
        for part in self.record:
            data = part.data
            if speech.is_silent(data):
                continue
            # Zeros within sound are a matter of samples; only those at the edges of a stretch are taken off.
            lead = len(data) - len(data.lstrip(b"\0"))
            tail = len(data) - len(data.rstrip(b"\0"))
            start = round(part.start_s + (lead // 2) / self.sample_rate, 9)
            end = round(part.end_s - (tail // 2) / self.sample_rate, 9)
            if spans and start - spans[-1][1] < 0.5 / self.sample_rate:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return spans

    def audible_at(self, when_s: float) -> bool:
        """Whether something sounded at a loop time."""
        return any(start <= when_s < end for start, end in self.spans())

    # -- playing -------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Bring the record up to the loop's time."""
        if self._base is None:
            return
        base_s, base_position = self._base
        now = asyncio.get_running_loop().time()
        # Half a sample of grace: the timer of a boundary must see it as reached.
        due = int((now - base_s) * self.sample_rate + 0.5) + base_position
        while self._stock.samples and self._position < due:
            start_s = self._time_of(self._position)
            index, data = self._stock.take(min(due - self._position, self.granularity_samples))
            self.record.append(Heard(start_s, data, self.sample_rate, self._position, index, self.gain_db))
            self._position += len(data) // 2
        self._pass_marks()
        if not self._stock.samples:
            self._stop()
            self._report()

    def _settle_if_running(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # the loop is over, and so is what could have sounded
        self.settle()

    def _time_of(self, position: int) -> float:
        assert self._base is not None
        base_s, base_position = self._base
        return base_s + (position - base_position) / self.sample_rate

    def _go(self) -> None:
        if self.paused or self.closed or self._stalled:
            return
        if not self._stock.samples:
            self._stop()
            return
        if self._base is None:
            self._base = (asyncio.get_running_loop().time(), self._position)
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        step = self.granularity_samples - self._position % self.granularity_samples
        until_mark = self._marks[0] - self._position if self._marks else step
        count = min(step, self._stock.samples, until_mark)
        when = self._time_of(self._position + count)
        self._timer = asyncio.get_running_loop().call_at(when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.settle()
        self._report()
        if self._stock.samples and not self.paused and not self._stalled:
            self._arm()

    def _stop(self) -> None:
        self._base = None
        self._disarm()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pass_marks(self) -> None:
        while self._marks and self._marks[0] <= self._position:
            self._marks.popleft()
            self._report(cleared=True)

    def _report(self, *, cleared: bool = False) -> None:
        if self._reporter is not None:
            estimated = not self.capabilities.acknowledges
            self._reporter.report(PlaybackPosition(self._position, cleared=cleared, estimated=estimated))


def _as_list(word: DecodedWord | None) -> list[DecodedWord]:
    return [] if word is None else [word]


# -- captions --------------------------------------------------------------------------------------------------


class MemoryTextOutput(TextOutput):
    """Keeps the agent's words.

    `writes` lists every call as (loop time, text, final); `replies` the finished replies; `text` the open one.
    """

    def __init__(self) -> None:
        self.writes: list[tuple[float, str, bool]] = []
        self.replies: list[str] = []
        self.text = ""

    def write(self, text: str, *, final: bool = False) -> None:
        self.writes.append((asyncio.get_running_loop().time(), text, final))
        self.text += text
        if final:
            self.replies.append(self.text)
            self.text = ""
