"""`Transcribed`: ears for a model that takes text.

The caller's audio goes to the recogniser, its interim words come out as `InterimTranscript`s, and a commit puts the
final words into the inner conversation as the user's item. What is asked of the session while the last words are still
on their way waits for them, so a reply never answers half a turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from repartee.chat import AudioContent, Item, Message, new_id
from repartee.clock import Clock
from repartee.compose.providers import bound_to
from repartee.compose.tasks import TaskOwner
from repartee.compose.wrapper import WrapperModel, WrapperSession
from repartee.errors import ModelError, ModelTimeoutError
from repartee.models import (
    STT,
    Final,
    Interim,
    RealtimeModel,
    RealtimeSession,
    ResponseOptions,
    SessionOptions,
    Sink,
    STTEvent,
    STTStream,
)
from repartee.models.events import (
    ErrorOccurred,
    InputCleared,
    InputCommitted,
    InterimTranscript,
    ItemAdded,
    RealtimeEvent,
    TranscriptCompleted,
    TranscriptFailed,
)

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["Transcribed", "TranscribedSession", "Turn"]


class Transcribed(WrapperModel):
    """A model that hears.

    Args:
        model: takes text.
        stt: the recogniser.
        final_timeout_s: how long the last words may take once the caller is quiet; then those known so far stand, and
            the stream is replaced. Default 2.
    """

    def __init__(self, model: RealtimeModel, stt: STT, *, final_timeout_s: float = 2.0) -> None:
        super().__init__(model)
        self.stt = stt
        self.final_timeout_s = final_timeout_s
        self.capabilities = replace(
            model.capabilities,
            audio_input=True,
            transcription=True,
            settles=True,
            input_sample_rate=stt.capabilities.sample_rate,
        )

    def session(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> RealtimeSession:
        """A conversation that hears."""
        return TranscribedSession(self, options, on_event=on_event, clock=clock)

    async def prewarm(self, request: object = None) -> None:
        """Prewarm the recogniser and the model."""
        await asyncio.gather(self.stt.prewarm(), self.model.prewarm())

    async def aclose(self) -> None:
        """Close the recogniser and the model."""
        await self.stt.aclose()
        await self.model.aclose()


@dataclass(slots=True)
class _Segment:
    """A stretch of a turn that was flushed: its reading so far, then its final words."""

    text: str
    stable_chars: int
    flush_id: int | None
    """Which final it waits for; ``None``: it is final."""


@dataclass(slots=True)
class Turn:
    """What is known of one turn of the caller's."""

    item_id: str | None = None
    segments: list[_Segment] = field(default_factory=list)
    interim: Interim = field(default_factory=lambda: Interim(""))
    confidences: list[float] = field(default_factory=list)
    unsettled: bool = False
    """Whether there is audio behind the last flush."""
    samples: int = 0
    rate: int = 0
    committed: bool = False

    def pending(self, flush_id: int | None = None) -> _Segment | None:
        """The segment that waits for that final, or the first that waits for any."""
        return next(
            (
                each
                for each in self.segments
                if each.flush_id is not None and flush_id in (None, each.flush_id)
            ),
            None,
        )

    def flushed(self, flush_id: int) -> None:
        """A final was asked for; until it comes, the reading so far stands."""
        self.unsettled = False
        self.segments.append(_Segment(self.interim.text, self.interim.stable_chars, flush_id))
        self.interim = Interim("")

    def read(self, interim: Interim) -> None:
        """A new reading: of the segment whose final is awaited, unless it contradicts what was stable in that."""
        segment = self.pending()
        if segment is not None and interim.text.startswith(segment.text[: segment.stable_chars]):
            segment.text, segment.stable_chars = interim.text, interim.stable_chars
        else:
            self.interim = interim

    def give_up(self) -> bool:
        """No final comes any more, and the readings stand; whether one was awaited."""
        waited = self.pending() is not None
        if self.interim.text:
            self.segments.append(_Segment(self.interim.text, 0, None))
            self.interim = Interim("")
        for segment in self.segments:
            segment.flush_id = None
        self.unsettled = False
        return waited

    @property
    def text(self) -> str:
        """Its words so far."""
        parts = (*(segment.text for segment in self.segments), self.interim.text)
        return " ".join(part for part in parts if part)

    @property
    def settled(self) -> bool:
        """Whether these are final."""
        return self.pending() is None and not self.unsettled and not self.interim.text

    @property
    def stable_chars(self) -> int:
        """How many of their characters will not change any more."""
        sure: list[str] = []
        for segment in self.segments:
            if segment.flush_id is not None:
                sure.append(segment.text[: segment.stable_chars])
                break
            sure.append(segment.text)
        else:
            sure.append(self.interim.text[: self.interim.stable_chars])
        return len(" ".join(part for part in sure if part))


class TranscribedSession(WrapperSession):
    """A conversation that hears. Made by `Transcribed.session`."""

    def __init__(self, model: Transcribed, options: SessionOptions, *, on_event: Sink, clock: Clock) -> None:
        super().__init__(model.model, options, on_event=on_event, clock=clock)
        self._model = model
        self._stt = bound_to(model.stt, on_event)
        self._stream: STTStream | None = None
        self._streams = 0
        self._turn = Turn()
        self._committing: deque[Turn] = deque()  # bounded by final_timeout_s, in which it empties
        self._announced: str | None = None  # the committed item, until it is in the conversation
        self._waiting: deque[Callable[[], None]] = deque()  # bounded by final_timeout_s, in which it empties
        self._flush_timer: asyncio.TimerHandle | None = None
        self._tasks = TaskOwner(self._crashed)
        self._closed = False

    async def aclose(self) -> None:
        self._closed = True
        self._waiting.clear()
        self._committing.clear()
        self._stop_timer()
        self._drop_stream()
        await self._tasks.aclose()
        await super().aclose()

    # -- audio in ----------------------------------------------------------------------------------------------

    def begin_input(self, item_id: str) -> None:
        self._turn.item_id = item_id

    def append_audio(self, frame: AudioFrame) -> None:
        if self._closed:
            return
        if self._stream is None:
            self._streams += 1
            number = self._streams
            self._stream = self._stt.stream(
                sample_rate=frame.sample_rate,
                on_event=lambda event: self._on_stt(event, number),
                on_error=lambda error: self._on_stt_error(error, number),
            )
        self._turn.unsettled = True
        self._turn.samples += frame.samples
        self._turn.rate = frame.sample_rate
        self._stream.push(frame)

    def settle_audio(self) -> None:
        turn = self._turn
        if self._stream is not None and turn.unsettled:
            turn.flushed(self._stream.flush())
            self._stop_timer()
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(self._model.final_timeout_s, self._flush_timed_out)
        elif turn.pending() is None:
            self._say_interim(turn, endpoint=False)

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        self._drop_turn()
        self.emit(InputCleared(reason))

    def _drop_turn(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
        self._turn = Turn()

    def commit_audio(self) -> None:
        turn = self._turn
        if self._stream is not None and turn.unsettled:
            self.settle_audio()
        turn.committed = True
        self._committing.append(turn)
        self._turn = Turn()
        self._finish_commits()

    # -- words -------------------------------------------------------------------------------------------------

    @property
    def _turns(self) -> tuple[Turn, ...]:
        """Every turn, oldest first."""
        return (*self._committing, self._turn)

    def _heard_now(self) -> Turn:
        """The turn that the recogniser speaks of: its finals come in the order in which they were asked for."""
        return next((turn for turn in self._turns if turn.pending() is not None), self._turn)

    def _on_stt(self, event: STTEvent, stream: int) -> None:
        if self._closed or self._stream is None or stream != self._streams:
            return  # of a stream that was given up
        if isinstance(event, Interim):
            turn = self._heard_now()
            turn.read(event)
            self._say_interim(turn, endpoint=False)
        elif event.flush_id is None:
            turn = self._turn
            turn.unsettled, turn.interim = False, Interim("")
            turn.segments.append(_Segment(event.text.strip(), 0, None))
            self._final(turn, event)
        else:
            for turn in self._turns:
                segment = turn.pending(event.flush_id)
                if segment is not None:
                    segment.text, segment.flush_id = event.text.strip(), None
                    self._final(turn, event)
                    return
            # Its segment was cleared meanwhile.

    def _final(self, turn: Turn, event: Final) -> None:
        if event.confidence is not None and event.text.strip():
            turn.confidences.append(event.confidence)
        if all(each.pending() is None for each in self._turns):
            self._stop_timer()
        self._say_interim(turn, endpoint=event.flush_id is None)
        self._finish_commits()

    def _say_interim(self, turn: Turn, *, endpoint: bool) -> None:
        if turn.item_id is None:
            turn.item_id = new_id("item")
        self.emit(InterimTranscript(turn.item_id, turn.text, turn.stable_chars, turn.settled, endpoint))

    # -- the commit --------------------------------------------------------------------------------------------

    def _finish_commits(self) -> None:
        """Put the committed turns whose words are final into the conversation, in order; then go on."""
        while self._committing and self._committing[0].pending() is None:
            self._finish_commit(self._committing.popleft())
        while self._waiting and not self._committing:
            self._waiting.popleft()()

    def _finish_commit(self, turn: Turn) -> None:
        text, item_id = turn.text.strip(), turn.item_id or new_id("item")
        if not text:
            self.emit(InputCleared("no words"))
            return
        duration_ms = round(turn.samples * 1000 / turn.rate) if turn.rate else 0
        self._announced = item_id
        self.inner.create_item(Message("user", (AudioContent(text, duration_ms),), id=item_id))
        self.emit(TranscriptCompleted(item_id, text, min(turn.confidences, default=None)))

    def _flush_timed_out(self) -> None:
        self._flush_timer = None
        turn = self._heard_now()
        error = ModelTimeoutError(
            f"the recogniser gave no final words within {self._model.final_timeout_s:g} s; going on with "
            f"what is known of the turn ({len(turn.text.split())} words)",
            stage="stt",
        )
        self._give_up(error)

    def _on_stt_error(self, error: ModelError, stream: int) -> None:
        if not self._closed and self._stream is not None and stream == self._streams:
            self._give_up(error)

    def _give_up(self, error: ModelError) -> None:
        """Go on without the recogniser's stream; the next audio opens a new one."""
        self._drop_stream()
        self._stop_timer()
        self.emit(ErrorOccurred(error, "stt"))
        for turn in self._turns:
            waited = turn.give_up()
            if turn.committed and not turn.text and turn.item_id is not None:
                self.emit(TranscriptFailed(turn.item_id, error))
            elif waited and not turn.committed:
                self._say_interim(turn, endpoint=False)
        self._finish_commits()

    def _stop_timer(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self._tasks.finish(self._stream.aclose(), name="transcribed.close_stream")
            self._stream = None

    def _crashed(self, error: Exception) -> None:
        failure = ModelError(
            f"closing an STT stream failed with {type(error).__name__}: {error}", stage="stt"
        )
        self.emit(ErrorOccurred(failure, "stt"))

    # -- what waits for the commit -----------------------------------------------------------------------------

    def _after_commit(self, verb: Callable[[], None]) -> None:
        if self._committing or self._waiting:
            self._waiting.append(verb)
        else:
            verb()

    def create_item(self, item: Item, *, previous_item_id: str | None = None) -> None:
        self._after_commit(lambda: self.inner.create_item(item, previous_item_id=previous_item_id))

    def create_response(self, options: ResponseOptions) -> None:
        self._after_commit(lambda: self.inner.create_response(options))

    def release_response(self, request_id: str) -> None:
        self._after_commit(lambda: self.inner.release_response(request_id))

    def on_inner_event(self, event: RealtimeEvent) -> None:
        if isinstance(event, ItemAdded) and event.item.id == self._announced:
            self._announced = None
            self.emit(InputCommitted(event.item.id, event.previous_item_id))
        self.emit(event)
