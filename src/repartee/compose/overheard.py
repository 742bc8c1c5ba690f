"""`Overheard`: a recogniser that listens beside a model which hears by itself.

The model is given the caller's audio, and answers that. The recogniser's words only say what is being said while the
turn is open, so that an end-of-turn model has something to go by: a remote model's own transcript comes when the turn
is closed, which is too late. Where the model's own words do come before, they are better, and are taken instead.

What stands in the history is what the model itself heard, wherever it says so. Where it writes nothing down
(``input_audio_transcription=None``), the recogniser's final words do: a history without what the caller said could
neither be replayed to another connection or provider nor be read. The answer doesn't wait for them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from repartee.clock import Clock
from repartee.compose.hearing import Hearing, Turn
from repartee.compose.providers import bound_to
from repartee.compose.wrapper import WrapperModel, WrapperSession
from repartee.errors import ModelError
from repartee.models import STT, RealtimeModel, RealtimeSession, SessionOptions, Sink
from repartee.models.events import (
    ErrorOccurred,
    InputCleared,
    InterimTranscript,
    ItemDone,
    RealtimeEvent,
    TranscriptCompleted,
    TranscriptFailed,
)

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["Overheard"]

_KEPT_TURNS = 16


class Overheard(WrapperModel):
    """A model that hears by itself, and a recogniser beside it.

    Args:
        model: takes audio. Where it writes down what it hears (``capabilities.transcription``), its transcripts stand
            in the history, otherwise the recogniser's.
        stt: the recogniser.
        final_timeout_s: how long the last words may take once the caller is quiet. Default 0.5: they only help.
    """

    def __init__(self, model: RealtimeModel, stt: STT, *, final_timeout_s: float = 0.5) -> None:
        super().__init__(model)
        self.stt = stt
        self.final_timeout_s = final_timeout_s
        self.capabilities = replace(model.capabilities, transcription=True, settles=True)

    def session(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> RealtimeSession:
        """A conversation that is overheard."""
        return _OverheardSession(self, options, on_event=on_event, clock=clock)

    async def prewarm(self, request: object = None) -> None:
        """Prewarm the recogniser and the model."""
        await asyncio.gather(self.stt.prewarm(), self.model.prewarm())

    async def aclose(self) -> None:
        """Close the recogniser and the model."""
        await self.stt.aclose()
        await self.model.aclose()


@dataclass(slots=True)
class _Committed:
    """A turn that only the recogniser writes down: told when its words are final and its item is complete."""

    transcript: TranscriptCompleted | None = None
    there: bool = False


class _OverheardSession(WrapperSession):
    def __init__(self, model: Overheard, options: SessionOptions, *, on_event: Sink, clock: Clock) -> None:
        super().__init__(model.model, options, on_event=on_event, clock=clock)
        stt = bound_to(model.stt, on_event)
        self._hearing = Hearing(stt, self, final_timeout_s=model.final_timeout_s)
        self._writes_down = not model.model.capabilities.transcription
        self._committed: dict[
            str, _Committed
        ] = {}  # by item; beyond _KEPT_TURNS the oldest stay without words
        self._better = ""  # the open turn as the model itself hears it

    async def aclose(self) -> None:
        await self._hearing.aclose()
        await super().aclose()

    # -- audio in ----------------------------------------------------------------------------------------------

    def begin_input(self, item_id: str) -> None:
        self._hearing.turn.item_id = item_id
        self.inner.begin_input(item_id)

    def append_audio(self, frame: AudioFrame) -> None:
        self.inner.append_audio(frame)
        self._hearing.push(frame)

    def settle_audio(self) -> None:
        self._hearing.settle()

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        self._better = ""
        self._hearing.clear()
        self.inner.clear_audio(reason=reason)

    def commit_audio(self) -> None:
        self._better = ""
        item_id = self._hearing.turn.item_id
        # Who is asked to write it down for this session (`SessionOptions.transcription`) does so.
        if self._writes_down and self.options.transcription is None and item_id is not None:
            self._committed[item_id] = _Committed()
            while len(self._committed) > _KEPT_TURNS:
                del self._committed[next(iter(self._committed))]
            self._hearing.commit()
        else:
            self._hearing.clear()
        self.inner.commit_audio()

    # -- what is heard -----------------------------------------------------------------------------------------

    def on_reading(self, turn: Turn, *, endpoint: bool) -> None:
        if turn.committed or turn.item_id is None:
            return
        text, stable = (self._better, len(self._better)) if self._better else (turn.text, turn.stable_chars)
        self.emit(InterimTranscript(turn.item_id, text, stable, turn.settled, endpoint))

    def on_turn_done(self, turn: Turn) -> None:
        text = turn.text.strip()
        found = self._committed.get(turn.item_id or "")
        if found is not None and turn.item_id is not None:
            if text:
                found.transcript = TranscriptCompleted(turn.item_id, text, turn.confidence)
                self._tell_words(turn.item_id)
            else:
                del self._committed[turn.item_id]

    def on_turn_lost(self, turn: Turn, error: ModelError) -> None:
        if turn.item_id is not None:
            self.emit(TranscriptFailed(turn.item_id, error))

    def on_hearing_error(self, error: ModelError) -> None:
        self.emit(ErrorOccurred(error, "stt"))

    def _tell_words(self, item_id: str) -> None:
        found = self._committed.get(item_id)
        if found is not None and found.there and found.transcript is not None:
            del self._committed[item_id]
            self.emit(found.transcript)

    def on_inner_event(self, event: RealtimeEvent) -> None:
        match event:
            case InterimTranscript(item_id=item_id, text=text) if item_id == self._hearing.turn.item_id:
                self._better = text
                self.on_reading(self._hearing.turn, endpoint=False)
                return
            case InputCleared():
                self._committed.clear()
            case _:
                pass
        self.emit(event)
        if isinstance(event, ItemDone) and event.item.id in self._committed:
            self._committed[event.item.id].there = True
            self._tell_words(event.item.id)
