"""`Overheard`: a recogniser that listens beside a model which hears by itself.

The model is given the caller's audio, and answers that. The recogniser's words only say what is being said while the
turn is open, so that an end-of-turn model has something to go by: a remote model's own transcript comes when the turn
is closed, which is too late. Where the model's own words do come before, they are better, and are taken instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from repartee.clock import Clock
from repartee.compose.transcribed import Transcribed, TranscribedSession, Turn
from repartee.models import STT, RealtimeModel, RealtimeSession, SessionOptions, Sink
from repartee.models.events import (
    InputCleared,
    InterimTranscript,
    ItemAdded,
    RealtimeEvent,
    TranscriptCompleted,
)

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["Overheard"]

_KEPT_TURNS = 16


class Overheard(Transcribed):
    """A model that hears by itself, and a recogniser beside it.

    Args:
        model: takes audio.
        stt: the recogniser.
        final_timeout_s: how long the last words may take once the caller is quiet. Default 0.5: they only help.
    """

    def __init__(self, model: RealtimeModel, stt: STT, *, final_timeout_s: float = 0.5) -> None:
        super().__init__(model, stt, final_timeout_s=final_timeout_s)
        self.capabilities = replace(model.capabilities, transcription=True, settles=True)

    def session(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> RealtimeSession:
        """A conversation that is overheard."""
        return _OverheardSession(self, options, on_event=on_event, clock=clock)


class _OverheardSession(TranscribedSession):
    def __init__(self, model: Overheard, options: SessionOptions, *, on_event: Sink, clock: Clock) -> None:
        super().__init__(model, options, on_event=on_event, clock=clock)
        self._complete = not model.model.capabilities.transcription
        self._awaited: dict[str, str] = {}  # the words of turns whose item is still to come; bounded below
        self._better = ""  # the open turn as the model itself hears it

    def begin_input(self, item_id: str) -> None:
        super().begin_input(item_id)
        self.inner.begin_input(item_id)

    def append_audio(self, frame: AudioFrame) -> None:
        self.inner.append_audio(frame)
        super().append_audio(frame)

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        self._drop_turn()
        self.inner.clear_audio(reason=reason)

    def commit_audio(self) -> None:
        turn = self._turn
        if turn.item_id is not None and self._complete and turn.text:
            self._awaited[turn.item_id] = turn.text.strip()
            while len(self._awaited) > _KEPT_TURNS:
                del self._awaited[next(iter(self._awaited))]
        self._drop_turn()
        self.inner.commit_audio()

    def _drop_turn(self) -> None:
        super()._drop_turn()
        self._stop_timer()
        self._better = ""

    def _say_interim(self, turn: Turn, *, endpoint: bool) -> None:
        if self._better and turn.item_id is not None:
            text = self._better
            self.emit(InterimTranscript(turn.item_id, text, len(text), turn.settled, endpoint))
        else:
            super()._say_interim(turn, endpoint=endpoint)

    def on_inner_event(self, event: RealtimeEvent) -> None:
        match event:
            case InterimTranscript(item_id=item_id, text=text) if item_id == self._turn.item_id:
                self._better = text
                self._say_interim(self._turn, endpoint=False)
                return
            case InputCleared():
                self._awaited.clear()
            case _:
                pass
        super().on_inner_event(event)
        if isinstance(event, ItemAdded) and (words := self._awaited.pop(event.item.id, None)):
            self.emit(TranscriptCompleted(event.item.id, words))
