"""What a client may send: realtime, transcription and translation sessions.

``event_id`` (at most 512 characters) is optional; the server repeats it in the error that the event causes.
"""

from __future__ import annotations

from typing import Any, ClassVar

from repartee.protocol.config import SessionConfig
from repartee.protocol.items import Item
from repartee.protocol.model import UNSET, Family, Maybe, Model, member
from repartee.protocol.responses import ResponseParams

__all__ = [
    "ClientEvent",
    "ConversationItemCreate",
    "ConversationItemDelete",
    "ConversationItemRetrieve",
    "ConversationItemTruncate",
    "InputAudioBufferAppend",
    "InputAudioBufferClear",
    "InputAudioBufferCommit",
    "OutputAudioBufferClear",
    "ResponseCancel",
    "ResponseCreate",
    "SessionClose",
    "SessionInputAudioBufferAppend",
    "SessionUpdate",
]


class ClientEvent(Family):
    """Any event from a client."""

    __slots__ = ()
    members: ClassVar[dict[str, type[Any]]] = {}


class _Event(Model, frozen=True, kw_only=True):
    event_id: Maybe[str] = UNSET


@member(ClientEvent)
class SessionUpdate(_Event, ClientEvent, frozen=True, kw_only=True, tag="session.update"):
    """Change the session. Absent fields stay; ``null`` clears; a rejected update changes nothing at all.

    Answered by ``session.updated`` with the whole session, or by an error.
    """

    session: SessionConfig


@member(ClientEvent)
class InputAudioBufferAppend(_Event, ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.append"):
    """More of the caller's audio. Never acknowledged."""

    audio: bytes
    """In the session's input format, at most 15 MiB."""


@member(ClientEvent)
class InputAudioBufferCommit(_Event, ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.commit"):
    """The caller's turn is over: make a user message of the buffer (at least 100 ms). Starts no response by itself."""


@member(ClientEvent)
class InputAudioBufferClear(_Event, ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.clear"):
    """Forget the audio that is not committed. Answered by ``input_audio_buffer.cleared``."""


@member(ClientEvent)
class OutputAudioBufferClear(_Event, ClientEvent, frozen=True, kw_only=True, tag="output_audio_buffer.clear"):
    """Stop the playback (WebRTC and SIP only, where the server owns it). Comes after a ``response.cancel``."""


@member(ClientEvent)
class ConversationItemCreate(_Event, ClientEvent, frozen=True, kw_only=True, tag="conversation.item.create"):
    """Add an item. Answered by ``conversation.item.added`` and ``.done``."""

    previous_item_id: Maybe[str] = UNSET
    """The item to stand behind; ``"root"``: at the front; absent: at the end."""
    item: Item


@member(ClientEvent)
class ConversationItemRetrieve(
    _Event, ClientEvent, frozen=True, kw_only=True, tag="conversation.item.retrieve"
):
    """Ask for an item as the server has it, with its audio."""

    item_id: str


@member(ClientEvent)
class ConversationItemTruncate(
    _Event, ClientEvent, frozen=True, kw_only=True, tag="conversation.item.truncate"
):
    """Cut an assistant message where the caller stopped hearing it. Its transcript is dropped from the record.

    May come while the item is still being generated, with or without a ``response.cancel``.
    """

    item_id: str
    content_index: int
    """0."""
    audio_end_ms: int
    """What was heard, in ms from the item's beginning; at most its length."""


@member(ClientEvent)
class ConversationItemDelete(_Event, ClientEvent, frozen=True, kw_only=True, tag="conversation.item.delete"):
    """Remove an item. Answered by ``conversation.item.deleted``."""

    item_id: str


@member(ClientEvent)
class ResponseCreate(_Event, ClientEvent, frozen=True, kw_only=True, tag="response.create"):
    """Ask for a response. One at a time in the conversation; out of band any number beside it."""

    response: Maybe[ResponseParams] = UNSET
    """Absent: all as the session says."""


@member(ClientEvent)
class ResponseCancel(_Event, ClientEvent, frozen=True, kw_only=True, tag="response.cancel"):
    """Stop a response. Answered by its ``response.done`` with status ``cancelled``."""

    response_id: Maybe[str] = UNSET
    """Absent: the one in the default conversation."""


# -------------------------------------------------------------------------------------------- translation sessions


@member(ClientEvent)
class SessionInputAudioBufferAppend(
    _Event, ClientEvent, frozen=True, kw_only=True, tag="session.input_audio_buffer.append"
):
    """Translation only: more of the speaker's audio. Keep sending, silence too: it is the session's clock."""

    audio: bytes
    """24 kHz mono PCM16."""


@member(ClientEvent)
class SessionClose(_Event, ClientEvent, frozen=True, kw_only=True, tag="session.close"):
    """Translation only: translate what is left, then end. Answered, after that, by ``session.closed``."""
