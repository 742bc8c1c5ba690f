"""The caller's words for the client: deltas as far as they won't change any more, then the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from repartee.errors import ReparteeError
from repartee.models.events import InterimTranscript, RealtimeEvent, TranscriptCompleted, TranscriptFailed
from repartee.protocol.config import Transcription
from repartee.protocol.connection import Connection
from repartee.protocol.events import ServerEvent, TranscriptionUsage
from repartee.protocol.sessions import input_of, turn_detection_of

__all__ = ["Transcripts"]

KEPT_MAX = 64
"""Turns whose words may be awaited."""


class Transcripts:
    """Tells the caller's words, where the session asks for them.

    Args:
        connection: the server's end.
        say: sends events.
    """

    def __init__(self, connection: Connection, say: Callable[[Iterable[ServerEvent]], None]) -> None:
        self._connection = connection
        self._say = say
        self._told: dict[str, str] = {}
        self._seconds: dict[str, float] = {}
        self._early: dict[str, str | ReparteeError] = {}
        """Words of turns that are not items yet."""
        self._wanted = False

    def configure(self) -> None:
        """The session has changed."""
        session = self._connection.session
        asked = isinstance(input_of(session).transcription, Transcription)
        self._wanted = asked or self._connection.kind == "transcription"

    def committed(self, item_id: str, seconds: float) -> None:
        """A turn became an item: how long it is. Words that were complete before are told now."""
        while len(self._seconds) >= KEPT_MAX:
            del self._seconds[next(iter(self._seconds))]
        self._seconds[item_id] = seconds
        early = self._early.pop(item_id, None)
        if early is not None:
            self._complete(item_id, early)

    def cleared(self) -> None:
        """What was not committed is gone."""
        for item_id in [each for each in self._told if each not in self._seconds]:
            del self._told[item_id]

    def on_event(self, event: RealtimeEvent) -> None:
        """An event of the model's."""
        match event:
            case InterimTranscript(item_id=item_id, text=text, stable_chars=stable_chars):
                if self._wanted and stable_chars:
                    self._grow(item_id, text[:stable_chars])
            case TranscriptCompleted(item_id=item_id, transcript=transcript):
                self.completed(item_id, transcript)
            case TranscriptFailed(item_id=item_id, error=error):
                self.completed(item_id, error)
            case _:
                pass

    def _grow(self, item_id: str, stable: str) -> None:
        told = self._told.get(item_id, "")
        if len(stable) <= len(told) or not stable.startswith(told):
            return
        flow = self._connection.flow
        writer = self._connection.server.user_item(item_id)
        if item_id == flow.input_item_id or item_id in flow.conversation:
            made = writer.transcript_delta(stable[len(told) :])
        elif flow.input_item_id is None and turn_detection_of(flow.session) is None:
            made = writer.transcript_started(stable[len(told) :])
        else:
            return
        while len(self._told) >= KEPT_MAX:
            del self._told[next(iter(self._told))]
        self._told[item_id] = stable
        self._say(made)

    def completed(self, item_id: str, words: str | ReparteeError) -> None:
        """A turn's final words (``""``: nothing was said in it), or why they are not to be had."""
        if item_id in self._seconds:
            self._complete(item_id, words)
            return
        while len(self._early) >= KEPT_MAX:
            del self._early[next(iter(self._early))]
        self._early.setdefault(item_id, words)  # that they are lost comes first, then that there are none

    def _complete(self, item_id: str, words: str | ReparteeError) -> None:
        told = self._told.pop(item_id, "")
        seconds = self._seconds.pop(item_id, 0.0)
        if not self._wanted:
            return
        writer = self._connection.server.user_item(item_id)
        if isinstance(words, ReparteeError):
            self._say(writer.transcript_failed(str(words), code=getattr(words, "code", None)))
            return
        if words.startswith(told) and len(words) > len(told):
            self._say(writer.transcript_delta(words[len(told) :]))
        usage = TranscriptionUsage(type="duration", seconds=round(seconds, 3))
        self._say(writer.transcript_completed(words, usage=usage))
