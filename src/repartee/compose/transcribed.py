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

__all__ = ["Transcribed"]


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
        return _TranscribedSession(self, options, on_event=on_event, clock=clock)

    async def prewarm(self, request: object = None) -> None:
        """Prewarm the recogniser and the model."""
        await asyncio.gather(self.stt.prewarm(), self.model.prewarm())

    async def aclose(self) -> None:
        """Close the recogniser and the model."""
        await self.stt.aclose()
        await self.model.aclose()


@dataclass(slots=True)
class _Turn:
    """What is known of one turn of the caller's."""

    item_id: str | None = None
    finals: list[str] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    interim: Interim = field(default_factory=lambda: Interim(""))
    unsettled: bool = False
    """Whether there is audio behind the last flush."""
    flushes: set[int] = field(default_factory=set)
    """The finals that the recogniser owes."""
    samples: int = 0
    rate: int = 0
    committed: bool = False

    @property
    def text(self) -> str:
        """Its words so far."""
        return " ".join(part for part in (*self.finals, self.interim.text) if part)

    @property
    def settled(self) -> bool:
        """Whether these are final."""
        return not self.flushes and not self.unsettled and not self.interim.text


class _TranscribedSession(WrapperSession):
    def __init__(self, model: Transcribed, options: SessionOptions, *, on_event: Sink, clock: Clock) -> None:
        super().__init__(model.model, options, on_event=on_event, clock=clock)
        self._model = model
        self._stt = bound_to(model.stt, on_event)
        self._stream: STTStream | None = None
        self._streams = 0
        self._turn = _Turn()
        self._committing: deque[_Turn] = deque()  # bounded by final_timeout_s, in which it empties
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
            turn.unsettled = False
            turn.flushes.add(self._stream.flush())
            self._stop_timer()
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(self._model.final_timeout_s, self._flush_timed_out)
        elif not turn.flushes:
            self._say_interim(turn, endpoint=False)

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        if self._stream is not None:
            self._stream.cancel()
        self._turn = _Turn()
        self.emit(InputCleared(reason))

    def commit_audio(self) -> None:
        turn = self._turn
        if self._stream is not None and turn.unsettled:
            self.settle_audio()
        turn.committed = True
        self._committing.append(turn)
        self._turn = _Turn()
        self._finish_commits()

    # -- words -------------------------------------------------------------------------------------------------

    def _heard_now(self) -> _Turn:
        """The turn that the recogniser speaks of: its finals come in the order in which they were asked for."""
        return next((turn for turn in self._committing if turn.flushes), self._turn)

    def _on_stt(self, event: STTEvent, stream: int) -> None:
        if self._closed or self._stream is None or stream != self._streams:
            return  # of a stream that was given up
        turn = self._heard_now()
        if isinstance(event, Interim):
            turn.interim = event
            self._say_interim(turn, endpoint=False)
            return
        if event.flush_id is None:
            turn.unsettled = False
        else:
            asked = (turn for turn in (*self._committing, self._turn) if event.flush_id in turn.flushes)
            found = next(asked, None)
            if found is None:
                return  # its segment was cleared meanwhile
            turn = found
            turn.flushes.discard(event.flush_id)
            if not any(each.flushes for each in (*self._committing, self._turn)):
                self._stop_timer()
        turn.interim = Interim("")
        turn.finals.append(event.text.strip())
        if event.confidence is not None and event.text.strip():
            turn.confidences.append(event.confidence)
        self._say_interim(turn, endpoint=event.flush_id is None)
        self._finish_commits()

    def _say_interim(self, turn: _Turn, *, endpoint: bool) -> None:
        text = turn.text
        if turn.item_id is None:
            turn.item_id = new_id("item")
        stable = len(text) if turn.settled else len(text) - len(turn.interim.text) + turn.interim.stable_chars
        self.emit(
            InterimTranscript(
                turn.item_id, text, min(stable, len(text)), settled=turn.settled, endpoint=endpoint
            )
        )

    # -- the commit --------------------------------------------------------------------------------------------

    def _finish_commits(self) -> None:
        """Put the committed turns whose words are final into the conversation, in order; then go on."""
        while self._committing and not self._committing[0].flushes:
            self._finish_commit(self._committing.popleft())
        while self._waiting and not self._committing:
            self._waiting.popleft()()

    def _finish_commit(self, turn: _Turn) -> None:
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
        for turn in (*self._committing, self._turn):
            waited, turn.unsettled = bool(turn.flushes), False
            turn.flushes.clear()
            if turn.interim.text:
                turn.finals.append(turn.interim.text)
                turn.interim = Interim("")
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
