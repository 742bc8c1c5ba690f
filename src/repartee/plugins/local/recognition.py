"""What all local recognisers share: the stream between a session's event loop and a thread that decodes.

Theory of operation
-------------------
The loop's side (`RecognitionStream`) only queues commands: audio, flush, cancel. The thread's side takes them one
at a time, in order, through a lane of a `WorkerPool`, and drives a `Recogniser`, which is the open segment: taken
from the engine with the first audio after a flush, given back with the flush. So an idle stream holds no decoder,
and many streams share few.

*Segments* are numbered on the loop's side; every command and event carries its segment's number. `cancel` throws
away the audio that waits for the open segment and marks its number, so what the thread had already found about it
is dropped when it arrives. Finals of segments that were flushed before still come.

*Overflow.* At most `PENDING_MS` of audio wait. Past that the stream fails, because words guessed from audio with
a hole in it are worse than none: the machine is too slow for so many speakers, or all decoders are busy.

*Stable text.* What the last two hypotheses, at least `AGREEMENT_MS` of audio apart, have in common word by word
(LocalAgreement-2; Liu et al. 2020, Macháček et al. 2023), without the last word of the later one.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from repartee.errors import AudioFormatError, ModelError, ModelFileError
from repartee.inference import Lane, WorkerPool
from repartee.models import Final as FinalEvent
from repartee.models import Interim, STTEvent, STTStream, Word

if TYPE_CHECKING:
    from repartee.audio import AudioFrame, Resampler

__all__ = ["RATE", "Engine", "RecognisedWord", "Recogniser", "RecognitionStream", "Result"]

RATE: Final = 16_000
"""What recognisers take, in Hz."""
PENDING_MS: Final = 60_000
"""Most audio of a stream that may wait for a decoder. Much, since a recording may be given all at once."""
CHUNK_MS: Final = 200
"""Most audio that a stream decodes before other streams have their turn."""
AGREEMENT_MS: Final = 300


@dataclass(frozen=True, slots=True)
class RecognisedWord:
    """A word and when, in samples at `RATE` since its segment began."""

    text: str
    start_samples: int
    end_samples: int
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a segment was."""

    text: str = ""
    confidence: float | None = None
    words: tuple[RecognisedWord, ...] = ()


class Recogniser(ABC):
    """One open segment. Used by one thread at a time; may block."""

    @abstractmethod
    def feed(self, pcm: bytes, *, behind: bool) -> str:
        """Take PCM16 of 16 kHz.

        Args:
            pcm: the next audio.
            behind: whether more audio waits already, so work that is only for the interim text may be left out.

        Returns:
            how the segment reads so far.
        """

    @abstractmethod
    def finish(self) -> Result:
        """End the segment. The recogniser is not used again."""

    @abstractmethod
    def abort(self) -> None:
        """Throw the segment away. The recogniser is not used again."""


class Engine(ABC):
    """A loaded model (or one that loads with its first segment), shared by streams. See `RecognitionStream`."""

    @abstractmethod
    def pool(self) -> WorkerPool:
        """Where a new stream's work shall run."""

    @abstractmethod
    def begin(
        self, pool: WorkerPool, retry: Callable[[], object], memory: dict[str, Any]
    ) -> Recogniser | None:
        """Begin a segment; on a thread of ``pool``; may load the model.

        Args:
            pool: what `pool` gave to this stream.
            retry: called, from any thread, once a recogniser may be had, if there is none now.
            memory: the stream's own, for what a speaker's next segment shall know of the last.

        Returns:
            None if all are busy.
        """

    @abstractmethod
    def forget(self, pool: WorkerPool, retry: Callable[[], object]) -> None:
        """The stream is gone: don't call its ``retry`` any more. On a thread of ``pool``."""

    @abstractmethod
    async def prewarm(self) -> None:
        """Load what the first segment would load."""

    def busy(self) -> str:
        """Why there may be no recogniser, for an error message."""
        return "this machine is too slow for so many speakers at once"


@dataclass(frozen=True, slots=True)
class _Audio:
    frame: AudioFrame
    segment: int


@dataclass(frozen=True, slots=True)
class _Flush:
    flush_id: int
    segment: int


@dataclass(frozen=True, slots=True)
class _Cancel:
    segment: int
    skipped: int
    """Samples that nobody looked at; positions count them all the same."""


_Event = tuple[int, STTEvent | None]
"""A segment's number and what is known of it; None: it was cancelled, and nothing more comes."""


class RecognitionStream(STTStream):
    """One speaker; see `repartee.models.STTStream`. Frames may have any rate and any number of channels."""

    def __init__(
        self,
        engine: Engine,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> None:
        self._rate = sample_rate
        self._on_event = on_event
        self._pending_max = sample_rate * PENDING_MS // 1000
        self._segment = 0
        self._flushes = 0
        self._cancelled: set[int] = set()
        self._failed = False
        self._on_error = on_error
        # Shared with the thread, under the lock.
        self._lock = threading.Lock()
        # Audio is bounded by PENDING_MS (the stream fails), the rest by what its caller asked for.
        self._commands: deque[_Audio | _Flush | _Cancel] = deque()
        self._pending = 0  # samples of audio among the commands
        self._scheduled = False
        pool = engine.pool()
        self._decoding = _Decoding(engine, pool, sample_rate, self._schedule)
        self._lane: Lane[list[_Event]] = pool.open(self._deliver, self._fail, pending_max=2)

    @property
    def pending_samples(self) -> int:
        """Audio that waits to be decoded, in samples of the stream's rate."""
        return self._pending

    def push(self, frame: AudioFrame) -> None:
        """Take audio. Past `PENDING_MS` of waiting audio it reports an error, once."""
        if frame.sample_rate != self._rate:
            raise AudioFormatError(
                f"this stream was opened for {self._rate} Hz and got a frame of {frame.sample_rate} Hz"
            )
        if not frame.data or self._failed or self._lane.closed:
            return
        with self._lock:
            self._pending += frame.samples
            self._commands.append(_Audio(frame, self._segment))
            late = self._pending > self._pending_max
        if late:
            self._lane.closed = True
            self._fail(
                ModelError(
                    f"speech recognition fell {PENDING_MS // 1000} s behind: {self._decoding.engine.busy()}",
                    stage="stt",
                    provider="local",
                    code="overload",
                )
            )
        else:
            self._schedule()

    def flush(self) -> int:
        """End the open segment; see `repartee.models.STTStream.flush`."""
        self._flushes += 1
        with self._lock:
            self._commands.append(_Flush(self._flushes, self._segment))
        self._segment += 1
        self._schedule()
        return self._flushes

    def cancel(self) -> None:
        """Throw the open segment away; see `repartee.models.STTStream.cancel`."""
        with self._lock:
            commands, skipped = self._commands, 0
            while commands and isinstance(last := commands[-1], _Audio):
                commands.pop()
                self._pending -= last.frame.samples
                skipped += last.frame.samples
            commands.append(_Cancel(self._segment, skipped))
        self._cancelled.add(self._segment)
        self._segment += 1
        self._schedule()

    async def aclose(self) -> None:
        """Release the stream."""
        self._failed = True
        with self._lock:
            self._commands.clear()
        await self._lane.aclose(last=self._decoding.close)

    def _schedule(self) -> None:
        """Have the thread look at the commands; from any thread."""
        with self._lock:
            if self._scheduled:
                return
            self._scheduled = True
        self._lane.submit(self._step)

    def _deliver(self, events: list[_Event]) -> None:
        for segment, event in events:
            if self._failed:
                return
            if event is None:
                self._cancelled.discard(segment)
            elif segment not in self._cancelled:
                self._on_event(event)

    def _fail(self, error: Exception) -> None:
        if self._failed:
            return
        self._failed = True
        with self._lock:
            self._commands.clear()
            self._pending = 0
        self._on_error(_as_model_error(error))

    def _step(self) -> list[_Event] | None:
        """Carry out the next command, and what audio follows if it is audio; on the thread."""
        with self._lock:
            self._scheduled = False
            audio_next = bool(self._commands) and isinstance(self._commands[0], _Audio)
        # Not under the lock, which the event loop takes as well: this may load a model.
        if audio_next and not self._decoding.ready():
            return None  # `_schedule` is called when there is a recogniser
        with self._lock:
            if not self._commands or (isinstance(self._commands[0], _Audio) and not audio_next):
                return None  # nothing; or audio that came since, which has scheduled the next step
            command = self._commands.popleft()
            frames: list[AudioFrame] = []
            if isinstance(command, _Audio):
                frames.append(command.frame)
                taken, most = command.frame.samples, self._rate * CHUNK_MS // 1000
                while self._commands and taken < most and isinstance(audio := self._commands[0], _Audio):
                    frames.append(audio.frame)
                    taken += audio.frame.samples
                    self._commands.popleft()
                self._pending -= taken
            more = bool(self._commands)
        if more:
            self._schedule()
        if isinstance(command, _Audio):
            return self._decoding.audio(frames, command.segment, behind=more) or None
        if isinstance(command, _Flush):
            return [(command.segment, self._decoding.flush(command.flush_id))]
        self._decoding.cancel(command.skipped)
        return [(command.segment, None)]


class _Decoding:
    """The thread's side of a stream."""

    def __init__(self, engine: Engine, pool: WorkerPool, rate: int, retry: Callable[[], None]) -> None:
        self.engine = engine
        self._pool = pool
        self._rate = rate
        self._retry = retry
        self._memory: dict[str, Any] = {}
        self._recogniser: Recogniser | None = None
        self._resampler: Resampler | None = None
        self._heard = 0  # samples of the input rate so far
        self._start = 0  # where the open segment began
        self._reading = _Reading()

    def ready(self) -> bool:
        """Whether audio can be taken; if not, the stream is told when."""
        if self._recogniser is None:
            self._recogniser = self.engine.begin(self._pool, self._retry, self._memory)
            self._start = self._heard
            self._reading = _Reading()
        return self._recogniser is not None

    def audio(self, frames: list[AudioFrame], segment: int, *, behind: bool) -> list[_Event]:
        assert self._recogniser is not None
        pcm = b"".join(self._convert(frame) for frame in frames)
        self._heard += sum(frame.samples for frame in frames)
        interim = self._reading.read(self._recogniser.feed(pcm, behind=behind), len(pcm) // 2)
        return [(segment, interim)] if interim is not None else []

    def flush(self, flush_id: int) -> FinalEvent:
        recogniser, self._recogniser = self._recogniser, None
        result = recogniser.finish() if recogniser is not None else Result()
        words = tuple(
            Word(w.text, self._position(w.start_samples), self._position(w.end_samples), w.confidence)
            for w in result.words
        )
        return FinalEvent(result.text, result.confidence, words, flush_id)

    def cancel(self, skipped: int) -> None:
        self._heard += skipped
        recogniser, self._recogniser = self._recogniser, None
        if recogniser is not None:
            recogniser.abort()

    def close(self) -> None:
        self.cancel(0)
        self.engine.forget(self._pool, self._retry)

    def _position(self, samples: int) -> int:
        return self._start + samples * self._rate // RATE

    def _convert(self, frame: AudioFrame) -> bytes:
        frame = frame.to_mono()
        if self._rate == RATE:
            return frame.data
        if self._resampler is None:
            from repartee.audio import Resampler

            self._resampler = Resampler(self._rate, RATE)
        return self._resampler.push(frame).data


class _Reading:
    """The hypotheses of one segment, and how much of them is stable."""

    def __init__(self) -> None:
        self._text = ""
        self._samples = 0
        # (when, words); bounded by the readings in AGREEMENT_MS: older ones but the last are dropped.
        self._earlier: deque[tuple[int, list[str]]] = deque()
        self._stable = ""

    def read(self, text: str, samples: int) -> Interim | None:
        """The segment reads so after ``samples`` more; an event if that is news."""
        self._samples += samples
        if text == self._text:
            return None
        words = text.split()
        then = self._samples - RATE * AGREEMENT_MS // 1000
        earlier = self._earlier
        while len(earlier) > 1 and earlier[1][0] <= then:
            earlier.popleft()
        if earlier and earlier[0][0] <= then:
            agreed = 0
            for one, other in zip(earlier[0][1], words[:-1], strict=False):
                if one != other:
                    break
                agreed += 1
            if len(agreement := " ".join(words[:agreed])) > len(self._stable):
                self._stable = agreement
        earlier.append((self._samples, words))
        self._text = text
        if not text.startswith(self._stable):  # it changed its mind about what it had agreed to
            kept = next(i for i, c in enumerate(self._stable) if text[i : i + 1] != c)
            self._stable = self._stable[:kept].rpartition(" ")[0]
        return Interim(text, len(self._stable))


def _as_model_error(error: Exception) -> ModelError:
    if isinstance(error, ModelError):
        return error
    wrapped = ModelError(
        f"speech recognition failed: {error}",
        stage="stt",
        provider="local",
        recoverable=not isinstance(error, ModelFileError),
    )
    wrapped.__cause__ = error
    return wrapped
