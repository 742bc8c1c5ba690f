"""`Incoming`: what the server says of the caller's audio and of the conversation, told as ours.

A turn that was open when its connection was lost goes on with the next one: the server begins to hear it again, and
that is not a second turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from repartee.chat import AudioContent, ChatContext, FunctionCall, Message
from repartee.errors import ModelError
from repartee.models import events as ev
from repartee.models.wire import item_of
from repartee.plugins.openai.realtime.ids import Ids
from repartee.plugins.openai.realtime.pending_audio import PendingAudio
from repartee.protocol import events as wire
from repartee.protocol.model import given

__all__ = ["Incoming"]

_EARLY_MAX = 64


class Incoming:
    """Translates the server's events, except those of responses.

    Args:
        tell: takes events for the consumer and the history.
        history: what `tell` keeps.
        ids: of this connection's items.
        audio: the caller's, that may have to be sent again.
    """

    def __init__(
        self,
        tell: Callable[[ev.RealtimeEvent], None],
        history: ChatContext,
        ids: Ids,
        audio: PendingAudio,
    ) -> None:
        self._tell = tell
        self._history = history
        self._ids = ids
        self._audio = audio
        self._expected: deque[str | None] = deque()  # turns committed, not acknowledged; bounded by who talks
        self._words: dict[str, str] = {}
        self._shown = ("", "")  # the turn whose words were told last, and these
        self._early: dict[str, ev.TranscriptCompleted | ev.TranscriptFailed] = {}
        self._replayed: set[str] = set()
        self._resumed: str | None = None
        self._offset_ms = 0.0
        self._itemless: str | None = None  # a turn that is committed, and whose item has not come
        self.open_turn: str | None = None
        """Our id for the turn that is open."""
        self.speech: str | None = None
        """The turn in which the server hears speech, by our id."""

    # -- what the session does ---------------------------------------------------------------------------------

    def committed_here(self) -> None:
        """The open turn was committed."""
        self._expected.append(self.open_turn)
        self.open_turn = None

    def commit_refused(self) -> str | None:
        """The server has not taken the oldest turn; our id for it."""
        self._audio.refused()
        return self._expected.popleft() if self._expected else None

    def sent(self, local_id: str) -> None:
        """An item was sent: what the server says of it is no news."""
        self._replayed.add(local_id)

    def is_own(self, local_id: str) -> bool:
        """Whether the server has the item as we sent it, so as text."""
        return local_id in self._replayed

    def forget(self, local_id: str) -> None:
        """An item is gone."""
        self._replayed.discard(local_id)
        self._audio.known(local_id)

    def new_connection(self, offset_ms: float) -> None:
        """Another server will hear what is open, and know items by our own ids.

        Args:
            offset_ms: where its first audio is in the session's.
        """
        if self._itemless is not None:  # the next server is given it as an item, with its sound
            turn, self._itemless = Message("user", (AudioContent(None),), self._itemless), None
            self._tell(ev.ItemAdded(turn, self._history.last_id))
            self._tell(ev.ItemDone(turn))
        self._ids.clear()
        self._words.clear()
        self._replayed.clear()
        self._offset_ms = offset_ms
        self._resumed = self._resumed or self.speech

    def resumption_failed(self) -> bool:
        """The speech that was open was not heard again: end it. Whether it was still waited for."""
        if self._resumed is None:
            return False
        item_id, self._resumed, self.speech = self._resumed, None, None
        self._audio.speaking = False
        self._tell(ev.SpeechStopped(item_id, self._offset_ms))
        self._tell(ev.InputCleared("connection_lost"))
        return True

    # -- the server's events -----------------------------------------------------------------------------------

    def receive(self, event: wire.ServerEvent) -> None:
        """Tell an event."""
        match event:
            case wire.InputAudioBufferSpeechStarted():
                self._speech_started(event)
            case wire.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=end_ms):
                self._tell(ev.SpeechStopped(self._ids.local(item_id), self._offset_ms + end_ms))
            case wire.InputAudioBufferCommitted():
                self._committed(event)
            case wire.TranscriptionDelta(item_id=item_id):
                self._transcript_delta(item_id, given(event.delta, ""))
            case wire.TranscriptionCompleted(item_id=item_id, transcript=transcript):
                self._words.pop(item_id, None)
                self._transcribed(ev.TranscriptCompleted(self._ids.local(item_id), transcript.strip()))
            case wire.TranscriptionFailed(item_id=item_id, error=error):
                self._words.pop(item_id, None)
                text = given(error.message, "the transcription failed")
                failure = ModelError(text, stage="stt", provider="openai", code=given(error.code, None))
                self._transcribed(ev.TranscriptFailed(self._ids.local(item_id), failure))
            case wire.ConversationItemAdded():
                self._item_added(event)
            case wire.ConversationItemDone():
                self._item_done(event)
            case wire.ConversationItemDeleted(item_id=item_id) if self._ids.local(item_id) in self._history:
                # Ours are told when they are asked for; and one that was put in anew has the same id.
                if not self.is_own(self._ids.local(item_id)):
                    self._tell(ev.ItemDeleted(self._ids.local(item_id)))
            case wire.RateLimitsUpdated(rate_limits=limits):
                remaining = {given(limit.name, ""): given(limit.remaining, 0) for limit in limits}
                reset_s = {given(limit.name, ""): given(limit.reset_seconds, 0.0) for limit in limits}
                self._tell(ev.RateLimitsUpdated(remaining, reset_s))
            case _:
                pass

    def _speech_started(self, event: wire.InputAudioBufferSpeechStarted) -> None:
        self._audio.speaking = True
        if self._resumed is not None:
            self._ids.adopt(event.item_id, self._resumed)
            self.speech, self._resumed = self._resumed, None
            return
        self.speech = self._ids.local(event.item_id)
        self._tell(ev.SpeechStarted(self.speech, self._offset_ms + event.audio_start_ms))

    def _committed(self, event: wire.InputAudioBufferCommitted) -> None:
        expected = self._expected.popleft() if self._expected else None
        if expected is not None:
            self._ids.adopt(event.item_id, expected)
        local_id = self._ids.local(event.item_id)
        self._audio.acknowledged(local_id)
        self.speech, self._itemless = None, local_id
        previous = given(event.previous_item_id, None)
        self._tell(ev.InputCommitted(local_id, self._ids.local(previous) if previous is not None else None))

    # -- the caller's words ------------------------------------------------------------------------------------

    def _transcript_delta(self, item_id: str, delta: str) -> None:
        known = self._ids.known(item_id) or item_id in self._history
        if not known and self.open_turn is not None:
            self._ids.adopt(item_id, self.open_turn)  # a streaming transcription comes before the item exists
        text = self._words[item_id] = self._words.get(item_id, "") + delta
        said, local_id = text.strip(), self._ids.local(item_id)
        shown_of, shown = self._shown
        if shown_of == local_id and (len(said) <= len(shown) or not said.startswith(shown)):
            return  # a turn that is heard again from its start, by another server: no word is taken back
        self._shown = local_id, said
        self._tell(ev.InterimTranscript(local_id, said, stable_chars=len(said)))

    def _transcribed(self, event: ev.TranscriptCompleted | ev.TranscriptFailed) -> None:
        if event.item_id in self._history:
            self._audio.known(event.item_id)
            self._tell(event)
            return
        self._early[event.item_id] = event  # it is told with the item
        while len(self._early) > _EARLY_MAX:
            del self._early[next(iter(self._early))]

    # -- items -------------------------------------------------------------------------------------------------

    def _item_added(self, event: wire.ConversationItemAdded) -> None:
        local_id = self._ids.local(given(getattr(event.item, "id", None), ""))
        if local_id in self._replayed or local_id in self._history:
            return
        item = item_of(event.item, local_id)
        if item is None or isinstance(item, FunctionCall):
            return
        if isinstance(item, Message) and item.role == "assistant":
            return  # told with its response's own event, which names the response
        if local_id == self._itemless:
            self._itemless = None
        previous = given(event.previous_item_id, None)
        behind = self._ids.local(previous) if previous is not None else None
        if behind is not None and behind not in self._history:
            behind = self._history.last_id
        self._tell(ev.ItemAdded(item, behind))
        early = self._early.pop(local_id, None)
        if early is not None:
            self._transcribed(early)

    def _item_done(self, event: wire.ConversationItemDone) -> None:
        local_id = self._ids.local(given(getattr(event.item, "id", None), ""))
        known = self._history.get(local_id)
        if local_id not in self._replayed and isinstance(known, Message) and known.role == "user":
            self._tell(ev.ItemDone(known))
