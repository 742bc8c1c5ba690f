"""The playback that a server owns (WebRTC, SIP), as the recorded order of events: started, stopped, cleared.

There the server has the sound, so it knows what was heard, and when the caller interrupts it truncates by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from repartee.errors import ProtocolError
from repartee.protocol import events as ev
from repartee.protocol.outlet import Outlet

__all__ = ["HeardItem", "PlaybackWriter"]


@dataclasses.dataclass(frozen=True, slots=True)
class HeardItem:
    """How far an item has been heard.

    Args:
        item_id: of the message that is played.
        audio_end_ms: how much of its audio was heard; what is beyond its end counts as its end.
        content_index: of the part.
    """

    item_id: str
    audio_end_ms: int
    content_index: int = 0


class PlaybackWriter:
    """Tells what is played. A server's `Connection` has one (`playback`); over a WebSocket nothing calls it.

    Every method returns the events to send, in order.

    Args:
        outlet: where its events go.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self.heard: Callable[[], HeardItem | None] | None = None
        """Set it to what knows how far the item that is played has been heard (``None``: all of it): asked when the
        playback is cut off, to truncate that item. Unset: nothing is truncated."""

    @property
    def response_id(self) -> str | None:
        """The response that is heard; ``None``: none is."""
        return self._outlet.flow.playback.response_id

    def started(self, response_id: str) -> list[ev.ServerEvent]:
        """A response is heard: its first audio is played. A response of text never is.

        Raises:
            LocalProtocolError: another one still is, or it has no audio.
        """
        return self._outlet.emit(ev.OutputAudioBufferStarted(response_id=response_id))

    def stopped(self) -> list[ev.ServerEvent]:
        """It was heard to its end: its ``response.done`` was sent and the buffer is empty. None is heard: nothing.

        Raises:
            LocalProtocolError: it is still generated.
        """
        playing = self.response_id
        return [] if playing is None else self._outlet.emit(ev.OutputAudioBufferStopped(response_id=playing))

    def cleared(self) -> list[ev.ServerEvent]:
        """It was cut off, and the item truncated to what `heard` says. None is heard: nothing.

        The connection calls it itself for ``output_audio_buffer.clear`` and when the caller interrupts.
        """
        playing = self.response_id
        if playing is None:
            return []
        made = self._outlet.emit(ev.OutputAudioBufferCleared(response_id=playing))
        found = self.heard() if self.heard is not None else None
        return made if found is None else made + self._truncated(found)

    def _truncated(self, found: HeardItem) -> list[ev.ServerEvent]:
        conversation = self._outlet.flow.conversation
        try:
            entry = conversation.check_truncate(found.item_id, found.content_index, 0)
        except ProtocolError:
            return []  # the client has deleted it
        if found.audio_end_ms >= entry.audio_ms(found.content_index):
            return []  # heard to its end: its transcript stays
        return self._outlet.emit(
            ev.ConversationItemTruncated(
                item_id=found.item_id,
                content_index=found.content_index,
                audio_end_ms=max(0, found.audio_end_ms),
            )
        )
