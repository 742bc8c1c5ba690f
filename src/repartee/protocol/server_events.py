"""What a server sends about the session, its conversation and the caller's audio; responses: `response_events`.

``event_id`` is on every event but ``input_audio_buffer.dtmf_event_received``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from repartee.protocol.client_events import ClientEvent
from repartee.protocol.config import SessionConfig
from repartee.protocol.items import Item
from repartee.protocol.model import UNSET, Family, Maybe, Model, Unknown, member
from repartee.protocol.responses import InputTokenDetails, ResponseError

__all__ = [
    "Conversation",
    "ConversationCreated",
    "ConversationItemAdded",
    "ConversationItemCreated",
    "ConversationItemDeleted",
    "ConversationItemDone",
    "ConversationItemRetrieved",
    "ConversationItemTruncated",
    "DtmfEventReceived",
    "Error",
    "ErrorDetails",
    "InputAudioBufferCleared",
    "InputAudioBufferCommitted",
    "InputAudioBufferSpeechStarted",
    "InputAudioBufferSpeechStopped",
    "InputAudioBufferTimeoutTriggered",
    "LogProb",
    "RateLimit",
    "RateLimitsUpdated",
    "ServerEvent",
    "SessionCreated",
    "SessionUpdated",
    "TranscriptionCompleted",
    "TranscriptionDelta",
    "TranscriptionFailed",
    "TranscriptionSegment",
    "TranscriptionUsage",
    "UnknownEvent",
]


class ServerEvent(Family):
    """Any event from a server."""

    __slots__ = ()
    members: ClassVar[dict[str, type[Any]]] = {}


class UnknownEvent(Unknown, ClientEvent, ServerEvent):
    """An event of a type that this version doesn't know, from either side."""

    __slots__ = ()

    @property
    def event_id(self) -> str | None:
        """Its id, if it has one."""
        value = self.raw.get("event_id")
        return value if isinstance(value, str) else None


ClientEvent.unknown = UnknownEvent
ServerEvent.unknown = UnknownEvent


class _Event(Model, frozen=True, kw_only=True):
    event_id: Maybe[str] = UNSET


# --------------------------------------------------------------------------------------------------------- session


class ErrorDetails(Model, frozen=True, kw_only=True):
    """What an `Error` says."""

    type: Maybe[str] = UNSET
    """``invalid_request_error``, ``server_error``, ``insufficient_quota``, …"""
    code: Maybe[str] = UNSET
    message: str
    param: Maybe[str] = UNSET
    """The field at fault, such as ``session.foo``; ``null``: none in particular."""
    event_id: Maybe[str] = UNSET
    """The id of the client event at fault; ``null`` if it had none, or no event is."""


@member(ServerEvent)
class Error(_Event, ServerEvent, frozen=True, kw_only=True, tag="error"):
    """Something was wrong. Most are recoverable and the session goes on; a response that failed is none of these."""

    error: ErrorDetails


@member(ServerEvent)
class SessionCreated(_Event, ServerEvent, frozen=True, kw_only=True, tag="session.created"):
    """The first event of a session, unasked."""

    session: SessionConfig


@member(ServerEvent)
class SessionUpdated(_Event, ServerEvent, frozen=True, kw_only=True, tag="session.updated"):
    """The whole session after a ``session.update``, not only what changed."""

    session: SessionConfig


class Conversation(Model, frozen=True, kw_only=True):
    """What `ConversationCreated` names."""

    id: Maybe[str] = UNSET
    object: Maybe[str] = UNSET
    """``realtime.conversation``."""


@member(ServerEvent)
class ConversationCreated(_Event, ServerEvent, frozen=True, kw_only=True, tag="conversation.created"):
    """The default conversation. OpenAI doesn't send it; NVIDIA and xAI do, right after ``session.created``."""

    conversation: Conversation


class RateLimit(Model, frozen=True, kw_only=True):
    """One limit."""

    name: Maybe[str] = UNSET
    """``tokens`` or ``requests``."""
    limit: Maybe[int] = UNSET
    remaining: Maybe[int] = UNSET
    reset_seconds: Maybe[float] = UNSET
    """Until it is full again."""


@member(ServerEvent)
class RateLimitsUpdated(_Event, ServerEvent, frozen=True, kw_only=True, tag="rate_limits.updated"):
    """What is left, after each response."""

    rate_limits: list[RateLimit]


# ---------------------------------------------------------------------------------------------------- conversation


class _ItemEvent(_Event, frozen=True, kw_only=True):
    previous_item_id: Maybe[str] = UNSET
    """The item that it stands behind; ``null`` for the first."""
    item: Item


@member(ServerEvent)
class ConversationItemAdded(
    _ItemEvent, ServerEvent, frozen=True, kw_only=True, tag="conversation.item.added"
):
    """An item joined the conversation; an assistant's is still empty."""


@member(ServerEvent)
class ConversationItemDone(_ItemEvent, ServerEvent, frozen=True, kw_only=True, tag="conversation.item.done"):
    """An item is complete (or was cut off: status ``incomplete``)."""


@member(ServerEvent)
class ConversationItemCreated(
    _ItemEvent, ServerEvent, frozen=True, kw_only=True, tag="conversation.item.created"
):
    """The beta's word for added and done."""


@member(ServerEvent)
class ConversationItemRetrieved(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="conversation.item.retrieved"
):
    """An item as the server has it, with its audio."""

    item: Item


@member(ServerEvent)
class ConversationItemTruncated(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="conversation.item.truncated"
):
    """An assistant message was cut."""

    item_id: str
    content_index: int
    audio_end_ms: int


@member(ServerEvent)
class ConversationItemDeleted(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="conversation.item.deleted"
):
    """An item is gone."""

    item_id: str


# ----------------------------------------------------------------------------------------------- the caller's audio


@member(ServerEvent)
class InputAudioBufferSpeechStarted(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_started"
):
    """The caller began to speak. All interruption hangs on it."""

    audio_start_ms: int
    """From the first audio of the session, padding included."""
    item_id: str
    """Of the user message to come."""


@member(ServerEvent)
class InputAudioBufferSpeechStopped(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_stopped"
):
    """The caller's turn is over; the commit follows."""

    audio_end_ms: int
    """From the first audio of the session."""
    item_id: str


@member(ServerEvent)
class InputAudioBufferCommitted(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.committed"
):
    """The buffer became a user message."""

    previous_item_id: Maybe[str] = UNSET
    item_id: str


@member(ServerEvent)
class InputAudioBufferCleared(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.cleared"
):
    """The buffer is empty."""


@member(ServerEvent)
class InputAudioBufferTimeoutTriggered(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.timeout_triggered"
):
    """Nothing was said for ``idle_timeout_ms``: the silence is committed, and the model speaks up."""

    audio_start_ms: int
    audio_end_ms: int
    item_id: str


@member(ServerEvent)
class DtmfEventReceived(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.dtmf_event_received"
):
    """A key was pressed (SIP only). The one server event without an ``event_id``."""

    event: str
    """``0``–``9``, ``*``, ``#``, ``A``–``D``."""
    received_at: int
    """In seconds of Unix time."""


class LogProb(Model, frozen=True, kw_only=True):
    """How sure the transcription is of a token."""

    token: str
    logprob: float
    bytes: Maybe[list[int]] = UNSET


class TranscriptionUsage(Model, frozen=True, kw_only=True):
    """What a transcription cost: tokens, or seconds of audio."""

    type: str
    """``tokens`` or ``duration``."""
    seconds: Maybe[float] = UNSET
    total_tokens: Maybe[int] = UNSET
    input_tokens: Maybe[int] = UNSET
    output_tokens: Maybe[int] = UNSET
    input_token_details: Maybe[InputTokenDetails] = UNSET


class _TranscriptionEvent(_Event, frozen=True, kw_only=True):
    item_id: str
    content_index: Maybe[int] = UNSET
    """0."""


@member(ServerEvent)
class TranscriptionDelta(
    _TranscriptionEvent,
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.delta",
):
    """More of the caller's words. May come before the item is there, and in the middle of the answer to it."""

    delta: Maybe[str] = UNSET
    logprobs: Maybe[list[LogProb]] = UNSET
    obfuscation: Maybe[str] = UNSET
    """Random: hides the length of ``delta``."""


@member(ServerEvent)
class TranscriptionCompleted(
    _TranscriptionEvent,
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.completed",
):
    """All of the caller's words. Across items in no order: match by ``item_id``."""

    transcript: str
    usage: Maybe[TranscriptionUsage] = UNSET
    logprobs: Maybe[list[LogProb]] = UNSET
    languages: Maybe[list[Any]] = UNSET


@member(ServerEvent)
class TranscriptionSegment(
    _TranscriptionEvent,
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.segment",
):
    """What one speaker said, from models that tell speakers apart."""

    id: str
    speaker: str
    text: str
    start: float
    """In seconds, of the item's audio."""
    end: float


@member(ServerEvent)
class TranscriptionFailed(
    _TranscriptionEvent,
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.failed",
):
    """The caller's words could not be written down. The response goes on all the same."""

    error: ResponseError
