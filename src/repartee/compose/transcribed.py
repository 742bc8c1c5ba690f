"""`Transcribed`: ears for a model that takes text.

The caller's audio goes to the recogniser, its interim words come out as `InterimTranscript`s, and a commit puts the
final words into the inner conversation as the user's item. What is asked of the session while the last words are still
on their way waits for them, so a reply never answers half a turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
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


class _TranscribedSession(WrapperSession):
    def __init__(self, model: Transcribed, options: SessionOptions, *, on_event: Sink, clock: Clock) -> None:
        super().__init__(model.model, options, on_event=on_event, clock=clock)
        self._model = model
        self._stt = bound_to(model.stt, on_event)
        self._stream: STTStream | None = None
        self._announced: str | None = None  # the committed item, until it is in the conversation
        self._waiting: deque[Callable[[], None]] = deque()  # bounded by final_timeout_s, in which it empties
        self._flush_timer: asyncio.TimerHandle | None = None
        self._tasks = TaskOwner(self._crashed)
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._item_id: str | None = None
        self._finals: list[str] = []
        self._confidences: list[float] = []
        self._interim = Interim("")
        self._unsettled = False
        self._flushes = 0
        self._samples = 0
        self._rate = 0
        self._committing = False
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None

    async def aclose(self) -> None:
        self._closed = True
        self._waiting.clear()
        self._reset()
        self._drop_stream()
        await self._tasks.aclose()
        await super().aclose()

    # -- audio in ----------------------------------------------------------------------------------------------

    def begin_input(self, item_id: str) -> None:
        self._item_id = item_id

    def append_audio(self, frame: AudioFrame) -> None:
        if self._closed:
            return
        if self._stream is None:
            self._stream = self._stt.stream(
                sample_rate=frame.sample_rate, on_event=self._on_stt, on_error=self._on_stt_error
            )
        self._unsettled = True
        self._samples += frame.samples
        self._rate = frame.sample_rate
        self._stream.push(frame)

    def settle_audio(self) -> None:
        if self._stream is not None and self._unsettled:
            self._unsettled = False
            self._flushes += 1
            self._stop_timer()
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(self._model.final_timeout_s, self._flush_timed_out)
            self._stream.flush()
        elif not self._flushes:
            self._say_interim(endpoint=False)

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        if self._stream is not None:
            self._stream.cancel()
        self._reset()
        self.emit(InputCleared(reason))
        self._go_on()

    def commit_audio(self) -> None:
        if self._committing:
            return
        self._committing = True
        if self._stream is not None and self._unsettled:
            self.settle_audio()
        if not self._flushes:
            self._finish_commit()

    # -- words -------------------------------------------------------------------------------------------------

    @property
    def _text(self) -> str:
        return " ".join(part for part in (*self._finals, self._interim.text) if part)

    def _on_stt(self, event: STTEvent) -> None:
        if self._closed:
            return
        if isinstance(event, Interim):
            self._interim = event
            self._say_interim(endpoint=False)
            return
        if event.flush_id is not None:
            if not self._flushes:
                return  # its segment was cleared meanwhile
            self._flushes -= 1
            if not self._flushes:
                self._stop_timer()
        else:
            self._unsettled = False
        self._interim = Interim("")
        self._finals.append(event.text.strip())
        self._note_confidence(event)
        self._say_interim(endpoint=event.flush_id is None)
        if self._committing and not self._flushes:
            self._finish_commit()

    def _note_confidence(self, final: Final) -> None:
        if final.confidence is not None and final.text.strip():
            self._confidences.append(final.confidence)

    def _say_interim(self, *, endpoint: bool) -> None:
        text = self._text
        if self._item_id is None:
            self._item_id = new_id("item")
        settled = not self._flushes and not self._unsettled and not self._interim.text
        stable = len(text) if settled else len(text) - len(self._interim.text) + self._interim.stable_chars
        self.emit(InterimTranscript(self._item_id, text, min(stable, len(text)), settled, endpoint))

    # -- the commit --------------------------------------------------------------------------------------------

    def _finish_commit(self) -> None:
        text, item_id = self._text.strip(), self._item_id or new_id("item")
        duration_ms = round(self._samples * 1000 / self._rate) if self._rate else 0
        confidence = min(self._confidences, default=None)
        self._reset()
        if not text:
            self.emit(InputCleared("no words"))
        else:
            spoken = AudioContent(text, duration_ms)
            self._announced = item_id
            self.inner.create_item(Message("user", (spoken,), id=item_id))
            self.emit(TranscriptCompleted(item_id, text, confidence))
        self._go_on()

    def _flush_timed_out(self) -> None:
        self._flush_timer = None
        error = ModelTimeoutError(
            f"the recogniser gave no final words within {self._model.final_timeout_s:g} s; going on with "
            f"what is known of the turn ({len(self._text.split())} words)",
            stage="stt",
        )
        self._give_up(error)

    def _on_stt_error(self, error: ModelError) -> None:
        if not self._closed:
            self._give_up(error)

    def _give_up(self, error: ModelError) -> None:
        """Go on without the recogniser's stream; the next audio opens a new one."""
        self._drop_stream()
        self._stop_timer()
        self.emit(ErrorOccurred(error, "stt"))
        waited, self._flushes, self._unsettled = bool(self._flushes), 0, False
        if self._interim.text:
            self._finals.append(self._interim.text)
            self._interim = Interim("")
        if self._committing:
            if not self._text and self._item_id is not None:
                self.emit(TranscriptFailed(self._item_id, error))
            self._finish_commit()
        elif waited:
            self._say_interim(endpoint=False)

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
        if self._committing:
            self._waiting.append(verb)
        else:
            verb()

    def _go_on(self) -> None:
        while self._waiting and not self._committing:
            self._waiting.popleft()()

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
