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
from repartee.compose.hearing import Hearing, Turn
from repartee.compose.providers import bound_to
from repartee.compose.wrapper import WrapperModel, WrapperSession
from repartee.errors import ModelError
from repartee.models import STT, RealtimeModel, RealtimeSession, ResponseOptions, SessionOptions, Sink
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
    """A conversation that hears."""

    def __init__(self, model: Transcribed, options: SessionOptions, *, on_event: Sink, clock: Clock) -> None:
        super().__init__(model.model, options, on_event=on_event, clock=clock)
        stt = bound_to(model.stt, on_event)
        self._hearing = Hearing(stt, self, final_timeout_s=model.final_timeout_s)
        self._announced: str | None = None  # the committed item, until it is in the conversation
        self._waiting: deque[Callable[[], None]] = deque()  # bounded by final_timeout_s, in which it empties

    async def aclose(self) -> None:
        self._waiting.clear()
        await self._hearing.aclose()
        await super().aclose()

    # -- audio in ----------------------------------------------------------------------------------------------

    def begin_input(self, item_id: str) -> None:
        self._hearing.turn.item_id = item_id

    def append_audio(self, frame: AudioFrame) -> None:
        self._hearing.push(frame)

    def settle_audio(self) -> None:
        self._hearing.settle()

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        self._hearing.clear()
        self.emit(InputCleared(reason))

    def commit_audio(self) -> None:
        self._hearing.commit()
        self._go_on()

    # -- what is heard -----------------------------------------------------------------------------------------

    def on_reading(self, turn: Turn, *, endpoint: bool) -> None:
        assert turn.item_id is not None
        self.emit(InterimTranscript(turn.item_id, turn.text, turn.stable_chars, turn.settled, endpoint))

    def on_turn_done(self, turn: Turn) -> None:
        text, item_id = turn.text.strip(), turn.item_id or new_id("item")
        if text:
            duration_ms = round(turn.samples * 1000 / turn.rate) if turn.rate else 0
            self._announced = item_id
            self.inner.create_item(Message("user", (AudioContent(text, duration_ms),), id=item_id))
            self.emit(TranscriptCompleted(item_id, text, turn.confidence))
        else:
            self.emit(InputCleared("no words"))
        self._go_on()

    def on_turn_lost(self, turn: Turn, error: ModelError) -> None:
        if turn.item_id is not None:
            self.emit(TranscriptFailed(turn.item_id, error))

    def on_hearing_error(self, error: ModelError) -> None:
        self.emit(ErrorOccurred(error, "stt"))

    # -- what waits for the commit -----------------------------------------------------------------------------

    def _go_on(self) -> None:
        while self._waiting and not self._hearing.is_committing:
            self._waiting.popleft()()

    def _after_commit(self, verb: Callable[[], None]) -> None:
        if self._hearing.is_committing or self._waiting:
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
