"""Several recognisers as one: when one fails, the next hears what is not transcribed yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from repartee.compose.providers import Desk, close_all, log_bad_end, prewarm_all
from repartee.compose.tasks import TaskOwner
from repartee.errors import ModelError, ModelTimeoutError
from repartee.models import STT, Final, Sink, STTCapabilities, STTEvent, STTStream

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["FallbackSTT"]

REPLAY_MAX_S = 60.0
"""How much of an open segment is kept for the next recogniser; of a longer one the oldest is dropped."""


class FallbackSTT(STT):
    """Several recognisers as one. See `Fallback`."""

    def __init__(self, desk: Desk[STT], *, deadline_s: float | None) -> None:
        self._desk = desk
        self.deadline_s = deadline_s
        able = [stt.capabilities for stt in desk.models]
        shared = [each for each in able[0].languages if all(each in other.languages for other in able)]
        self.capabilities = STTCapabilities(
            interim=all(each.interim for each in able),
            endpointing=all(each.endpointing for each in able),
            word_times=all(each.word_times for each in able),
            sample_rate=able[0].sample_rate,
            languages=tuple(shared) or able[0].languages,
        )

    def bound(self, on_event: Sink) -> FallbackSTT:
        """The same recognisers for one session, which is told of failures and switches."""
        return FallbackSTT(self._desk.bound(on_event), deadline_s=self.deadline_s)

    @property
    def in_use(self) -> str:
        """The name of the one that heard last."""
        return self._desk.names[self._desk.rotation.current]

    def stream(
        self,
        *,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> STTStream:
        """Begin recognition of one speaker. An error is reported only once all have failed."""
        return _Stream(self._desk, self.deadline_s, sample_rate, on_event, on_error)

    async def prewarm(self) -> None:
        """Prewarm them all.

        Raises:
            ModelError: none of them could be.
        """
        await prewarm_all(self._desk, lambda stt: stt.prewarm())

    async def aclose(self) -> None:
        """Close them all."""
        await close_all(self._desk.models)


@dataclass(slots=True)
class _Segment:
    """Audio that is not transcribed yet."""

    start_samples: int
    """Where it begins, for our listener."""
    inner_start_samples: int = 0
    """Where it begins, for the recogniser that hears it now."""
    frames: deque[AudioFrame] = field(default_factory=deque)  # bounded by REPLAY_MAX_S
    samples: int = 0
    flush_id: int | None = None
    inner_flush_id: int | None = None
    deadline: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class _Use:
    """One recogniser's stream, known to its callbacks, which may be called before it is opened."""

    index: int
    stream: STTStream | None = None
    error: ModelError | None = None


class _Stream(STTStream):
    def __init__(
        self,
        desk: Desk[STT],
        deadline_s: float | None,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> None:
        self._desk = desk
        self._deadline_s = deadline_s
        self._rate = sample_rate
        self._on_event = on_event
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._tasks = TaskOwner(log_bad_end)
        self._inner: STTStream | None = None
        self._index = 0
        self._inner_samples = 0
        self._answered = False
        """Whether the recogniser has given anything yet."""
        self._tried: dict[int, ModelError] = {}
        self._pending: deque[_Segment] = deque()  # flushed, without their final; bounded by the deadline
        self._samples = 0
        self._open = _Segment(0)
        self._flushes = 0
        self._over = False
        self._connect()

    # -- what the session does -----------------------------------------------------------------------------------

    def push(self, frame: AudioFrame) -> None:
        if self._over:
            return
        if not self._open.samples and not self._pending:
            self._return_to_preferred()
        segment = self._open
        segment.frames.append(frame)
        segment.samples += frame.samples
        self._samples += frame.samples
        while segment.samples > REPLAY_MAX_S * self._rate and len(segment.frames) > 1:
            dropped = segment.frames.popleft().samples
            segment.samples -= dropped
            segment.start_samples += dropped
            segment.inner_start_samples += dropped
        self._tell_inner(lambda inner: self._push_inner(inner, frame))

    def flush(self) -> int:
        self._flushes += 1
        segment, self._open = self._open, _Segment(self._samples)
        segment.flush_id = self._flushes
        if not self._over:
            self._pending.append(segment)
            self._tell_inner(lambda inner: self._flush_inner(inner, segment))
            self._open.inner_start_samples = self._inner_samples
        return segment.flush_id

    def cancel(self) -> None:
        self._open = _Segment(self._samples, self._inner_samples)
        self._tell_inner(lambda inner: inner.cancel())

    async def aclose(self) -> None:
        self._over = True
        self._disarm()
        inner, self._inner = self._inner, None
        if not self._answered:
            self._desk.abandoned(self._index)
        if inner is not None:
            await inner.aclose()
        await self._tasks.aclose()

    # -- the recogniser in use -----------------------------------------------------------------------------------

    def _tell_inner(self, verb: Callable[[STTStream], None]) -> None:
        if self._inner is None:
            return  # it is being replaced: the next one hears what is kept
        try:
            verb(self._inner)
        except Exception as error:
            self._fail(self._desk.error_of(self._index, error, self._deadline_s))

    def _push_inner(self, inner: STTStream, frame: AudioFrame) -> None:
        self._inner_samples += frame.samples
        inner.push(frame)

    def _flush_inner(self, inner: STTStream, segment: _Segment) -> None:
        if self._deadline_s is not None:
            segment.deadline = self._loop.call_later(self._deadline_s, self._late, inner)
        segment.inner_flush_id = inner.flush()

    def _hear(self, use: _Use, event: STTEvent) -> None:
        if self._over or use.stream is None or use.stream is not self._inner:
            return  # of one that was replaced
        if not self._answered:
            self._answered = True
            self._tried.clear()
            self._desk.succeeded(use.index)
        if isinstance(event, Final):
            segment = self._segment_of(event)
            if segment is None:
                return
            shift = segment.start_samples - segment.inner_start_samples
            words = tuple(
                replace(
                    word,
                    start_position_samples=word.start_position_samples + shift,
                    end_position_samples=word.end_position_samples + shift,
                )
                for word in event.words
            )
            event = replace(event, words=words, flush_id=segment.flush_id)
        self._on_event(event)

    def _segment_of(self, final: Final) -> _Segment | None:
        """The segment that a final answers; it is done with."""
        if final.flush_id is None:  # the recogniser ended the open one by itself
            segment, self._open = self._open, _Segment(self._samples, self._inner_samples)
            return segment
        if self._pending and self._pending[0].inner_flush_id == final.flush_id:
            segment = self._pending.popleft()
            if segment.deadline is not None:
                segment.deadline.cancel()
            return segment
        return None

    def _late(self, inner: STTStream) -> None:
        if inner is self._inner:
            name = self._desk.names[self._index]
            text = f"{name} gave no final within {self._deadline_s:g} s"
            self._fail(ModelTimeoutError(text, stage="stt", code="timeout"))

    # -- replacing it --------------------------------------------------------------------------------------------

    def _fail(self, error: ModelError) -> None:
        self._tried[self._index] = error
        self._desk.failed(self._index, error, tell=len(self._tried) < len(self._desk.models))
        self._drop_inner()
        # Not from within a call of the one that failed, nor of our own listener.
        self._loop.call_soon(self._connect)

    def _drop_inner(self) -> None:
        inner, self._inner = self._inner, None
        self._answered = False
        self._disarm()
        if inner is not None:
            self._tasks.finish(inner.aclose(), name="fallback.close_stt")

    def _disarm(self) -> None:
        for segment in self._pending:
            if segment.deadline is not None:
                segment.deadline.cancel()
                segment.deadline = None

    def _connect(self) -> None:
        if self._over or self._inner is not None:
            return
        index = self._desk.take(self._tried)
        if index is None:
            self._over = True
            self._on_error(self._desk.exhausted(self._tried))
            return
        self._use(index)

    def _use(self, index: int) -> None:
        """Open a stream of this one, and let it hear all that is not transcribed."""
        self._index = index
        self._inner_samples = 0
        use = _Use(index)
        try:
            use.stream = self._desk.models[index].stream(
                sample_rate=self._rate, on_event=partial(self._hear, use), on_error=partial(self._broke, use)
            )
        except Exception as error:
            self._fail(self._desk.error_of(index, error, self._deadline_s))
            return
        inner = self._inner = use.stream
        if use.error is not None:
            self._fail(use.error)
            return
        for segment in (*self._pending, self._open):
            segment.inner_start_samples = self._inner_samples
            for frame in tuple(segment.frames):
                self._tell_inner(partial(self._push_inner, frame=frame))
            if segment is not self._open:
                self._tell_inner(partial(self._flush_inner, segment=segment))
            if self._inner is not inner:
                return

    def _broke(self, use: _Use, error: ModelError) -> None:
        if use.stream is None:
            use.error = error
        elif use.stream is self._inner and not self._over:
            self._fail(error)

    def _return_to_preferred(self) -> None:
        """Between two segments, nobody hears that another recogniser goes on."""
        if self._inner is None:
            return
        index = self._desk.rotation.better(self._loop.time(), self._index)
        if index is not None:
            if not self._answered:
                self._desk.abandoned(self._index)
            self._drop_inner()
            self._use(index)
