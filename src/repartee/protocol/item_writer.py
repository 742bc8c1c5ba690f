"""What the caller says, as the recorded order of events: speech, commit, item, transcription.

The transcription runs by itself: it may come before the commit, and in the middle of the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from repartee.protocol import events as ev
from repartee.protocol.items import InputAudio, Message
from repartee.protocol.model import UNSET
from repartee.protocol.outlet import Outlet
from repartee.protocol.responses import ResponseError
from repartee.protocol.sessions import bytes_per_ms, input_of

__all__ = ["ItemWriter"]


class ItemWriter:
    """Writes one user message of audio. Made by a server's `Connection` (`user_item`).

    Every method returns the events to send, in order; nothing, once the item is gone (cleared before the commit, or
    deleted).

    Args:
        outlet: where its events go.
        item_id: of the message.
        on_speech: called when speech began; gives the events by which a response is interrupted.
        on_commit: called when the item is there, with what was asked; gives the events by which a response begins.
    """

    def __init__(
        self,
        outlet: Outlet,
        item_id: str,
        *,
        on_speech: Callable[[], list[ev.ServerEvent]],
        on_commit: Callable[[bool | None], list[ev.ServerEvent]],
    ) -> None:
        self._outlet = outlet
        self._on_speech = on_speech
        self._on_commit = on_commit
        self.item_id = item_id

    def speech_started(self, audio_start_ms: int) -> list[ev.ServerEvent]:
        """The caller began to speak; an interruptible response is cut off.

        Args:
            audio_start_ms: from the session's first audio, padding included.
        """
        made = self._outlet.emit(
            ev.InputAudioBufferSpeechStarted(audio_start_ms=audio_start_ms, item_id=self.item_id)
        )
        return made + self._on_speech()

    def speech_stopped(self, audio_end_ms: int) -> list[ev.ServerEvent]:
        """The caller's turn is over; `commit` follows.

        Args:
            audio_end_ms: from the session's first audio.
        """
        if self._outlet.flow.input_item_id != self.item_id:
            return []
        return self._outlet.emit(
            ev.InputAudioBufferSpeechStopped(audio_end_ms=audio_end_ms, item_id=self.item_id)
        )

    def timeout_triggered(self, audio_start_ms: int, audio_end_ms: int) -> list[ev.ServerEvent]:
        """Nobody spoke for the idle timeout; `commit` follows."""
        return self._outlet.emit(
            ev.InputAudioBufferTimeoutTriggered(
                audio_start_ms=audio_start_ms, audio_end_ms=audio_end_ms, item_id=self.item_id
            )
        )

    def commit(self, audio: bytes = b"", *, respond: bool | None = None) -> list[ev.ServerEvent]:
        """Make the message, and begin a response to it if the session's turn detection does so.

        Args:
            audio: what was said, for `Conversation.retrieve`. Default: not known.
            respond: whether to begin a response. Default: as the session says.
        """
        flow = self._outlet.flow
        if flow.input_item_id not in (None, self.item_id) or self.item_id in flow.conversation:
            return []
        ids = flow.conversation.ids
        previous = ids[-1] if ids else None
        item = Message(
            id=self.item_id, status="completed", role="user", content=[InputAudio(transcript=None)]
        )
        made = self._outlet.emit(
            ev.InputAudioBufferCommitted(previous_item_id=previous, item_id=self.item_id),
            ev.ConversationItemAdded(previous_item_id=previous, item=item),
            ev.ConversationItemDone(previous_item_id=previous, item=item),
        )
        if audio:
            rate = bytes_per_ms(input_of(flow.session).format)
            flow.conversation.add_audio(self.item_id, 0, audio, bytes_per_ms=rate)
        return made + self._on_commit(respond)

    # ----------------------------------------------------------------------------------------------- transcription

    def transcript_started(self, delta: str) -> list[ev.ServerEvent]:
        """The caller's first words, before anything else tells of the message; then `transcript_delta`, `commit`.

        So it is where nobody detects turns and the transcription streams: the client hears the words before it
        commits, and may decide by them. Nothing happens if the message is there already, or is another.

        Args:
            delta: the words.

        Raises:
            LocalProtocolError: the session's turn detection is on: `speech_started` comes first.
        """
        flow = self._outlet.flow
        if flow.input_item_id is not None or self.item_id in flow.conversation:
            return self.transcript_delta(delta)
        return self._outlet.emit(ev.TranscriptionDelta(item_id=self.item_id, content_index=0, delta=delta))

    def transcript_delta(self, delta: str) -> list[ev.ServerEvent]:
        """More of the caller's words."""
        return self._transcribe(ev.TranscriptionDelta, delta=delta)

    def transcript_completed(
        self, transcript: str, *, usage: ev.TranscriptionUsage | None = None
    ) -> list[ev.ServerEvent]:
        """All of the caller's words.

        Args:
            transcript: the words.
            usage: what it cost; clients need something there. Default: no time at all.
        """
        usage = usage or ev.TranscriptionUsage(type="duration", seconds=0.0)
        return self._transcribe(ev.TranscriptionCompleted, transcript=transcript, usage=usage)

    def transcript_failed(self, message: str, *, code: str | None = None) -> list[ev.ServerEvent]:
        """The caller's words could not be written down; the response goes on."""
        error = ResponseError(type="transcription_error", code=code or UNSET, message=message)
        return self._transcribe(ev.TranscriptionFailed, error=error)

    def transcript_segment(
        self, text: str, *, speaker: str, start: float, end: float
    ) -> list[ev.ServerEvent]:
        """What one speaker said; ``start`` and ``end`` in seconds of the item's audio."""
        return self._transcribe(
            ev.TranscriptionSegment,
            id=self._outlet.new_id("seg"),
            text=text,
            speaker=speaker,
            start=start,
            end=end,
        )

    def _transcribe(self, event: type[Any], **fields: Any) -> list[ev.ServerEvent]:
        flow = self._outlet.flow
        if self.item_id != flow.input_item_id and self.item_id not in flow.conversation:
            return []
        return self._outlet.emit(event(item_id=self.item_id, content_index=0, **fields))
