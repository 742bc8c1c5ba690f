"""The transition tables of a connection: what a server may send next, flow by flow.

*Theory of operation.* The server drives: its events change the state, at the server when it sends them, at the client
when they arrive, by these same tables. So the two ends of a connection hold the same state, one message apart. Five
things change independently and have a table each: the session, the input buffer, an output item, a content part (or a
call), and the playback that a server owns (WebRTC, SIP); so has the list of an MCP server's tools. What joins them
stands in `repartee.protocol.flow`.

A client's events are requests. They change nothing until the server answers, with one of these or with an error.

The recorded order of one spoken turn, as the tables have it::

    input:   IDLE –speech_started→ SPEAKING –speech_stopped→ STOPPED –committed→ COMMITTED –item added→ IDLE
    item:    output_item.added → OPEN –conversation.item.done→ SETTLED –output_item.done→ (gone)
    part:    content_part.added → AUDIO –audio.done→ AUDIO_ENDED –transcript.done→ ENDED –content_part.done→ (gone)

and of what the server does itself with MCP servers::

    list:    item added → ADDED –in_progress→ LISTING –completed→ ENDED –conversation.item.done→ (gone)
    call:    output_item.added → MCP_ARGUMENTS –arguments.done→ CALLED –in_progress→ RUNNING –completed→ DONE
"""

from __future__ import annotations

import enum
from typing import Final, TypeVar

from repartee.errors import ProtocolError

__all__ = [
    "INPUT_TABLE",
    "ITEM_TABLE",
    "MCP_LIST_TABLE",
    "PART_TABLE",
    "PLAYBACK_TABLE",
    "SESSION_TABLE",
    "InputState",
    "ItemState",
    "McpListState",
    "PartState",
    "PlaybackState",
    "SessionState",
    "step",
]


class SessionState(enum.Enum):
    """The session."""

    CONNECTING = "connecting"
    """``session.created`` is on its way. A client may send already."""
    OPEN = "open"
    """Everything may be said."""
    CLOSING = "closing"
    """Translation: what was said is still translated; nothing more may be."""
    CLOSED = "closed"
    """Nothing may be said any more, by either side."""


class InputState(enum.Enum):
    """The caller's audio."""

    IDLE = "idle"
    """Nobody speaks, as far as the server says."""
    SPEAKING = "speaking"
    """The server hears speech; the item's id is known."""
    STOPPED = "stopped"
    """The turn is over; the commit follows."""
    TIMED_OUT = "timed out"
    """Nobody spoke for so long that the silence is committed."""
    COMMITTED = "committed"
    """The user message follows."""


class ItemState(enum.Enum):
    """An item that a response generates."""

    OPEN = "open"
    """It grows."""
    SETTLED = "settled"
    """The conversation has it complete."""
    DONE = "done"
    """So has the response."""


class PartState(enum.Enum):
    """A part of a message, or a call's arguments, while it is generated."""

    TEXT = "text"
    """Text comes."""
    AUDIO = "audio"
    """Audio comes, and its transcript."""
    AUDIO_ENDED = "audio ended"
    """The audio is complete; the transcript is not."""
    TRANSCRIPT_ENDED = "transcript ended"
    """The transcript is complete; the audio is not."""
    ARGUMENTS = "arguments"
    """A function call's arguments come."""
    MCP_ARGUMENTS = "MCP arguments"
    """An MCP call's arguments come."""
    CALLED = "called"
    """An MCP call's arguments are complete; the server has yet to run it."""
    RUNNING = "running"
    """The server runs the MCP call; that may take long."""
    ENDED = "ended"
    """All its content is there."""
    DONE = "done"
    """And it was said so."""


class McpListState(enum.Enum):
    """The list of an MCP server's tools."""

    ADDED = "added"
    """Its item is there, empty."""
    LISTING = "listing"
    """The MCP server is asked."""
    ENDED = "ended"
    """It answered, or failed; the complete item follows."""


class PlaybackState(enum.Enum):
    """The playback that a server owns."""

    IDLE = "idle"
    PLAYING = "playing"


SESSION_TABLE: Final[dict[tuple[SessionState, str], SessionState]] = {
    (SessionState.CONNECTING, "session.created"): SessionState.OPEN,
    (
        SessionState.CONNECTING,
        "error",
    ): SessionState.CLOSED,  # a bad key or model: the first event, and the only one
    (SessionState.OPEN, "session.updated"): SessionState.OPEN,
    (SessionState.OPEN, "conversation.created"): SessionState.OPEN,
    (SessionState.OPEN, "session.close"): SessionState.CLOSING,
    (SessionState.CLOSING, "session.updated"): SessionState.CLOSING,
    (SessionState.OPEN, "session.closed"): SessionState.CLOSED,
    (SessionState.CLOSING, "session.closed"): SessionState.CLOSED,
}

INPUT_TABLE: Final[dict[tuple[InputState, str], InputState]] = {
    (InputState.IDLE, "input_audio_buffer.speech_started"): InputState.SPEAKING,
    (InputState.IDLE, "input_audio_buffer.timeout_triggered"): InputState.TIMED_OUT,
    (InputState.IDLE, "input_audio_buffer.committed"): InputState.COMMITTED,  # by the client
    (InputState.IDLE, "input_audio_buffer.cleared"): InputState.IDLE,
    (InputState.SPEAKING, "input_audio_buffer.speech_stopped"): InputState.STOPPED,
    (
        InputState.SPEAKING,
        "input_audio_buffer.committed",
    ): InputState.COMMITTED,  # by the client, before it stopped
    (InputState.SPEAKING, "input_audio_buffer.cleared"): InputState.IDLE,
    (InputState.STOPPED, "input_audio_buffer.committed"): InputState.COMMITTED,
    (InputState.STOPPED, "input_audio_buffer.cleared"): InputState.IDLE,
    (InputState.TIMED_OUT, "input_audio_buffer.committed"): InputState.COMMITTED,
    (InputState.TIMED_OUT, "input_audio_buffer.cleared"): InputState.IDLE,
    (InputState.COMMITTED, "conversation.item.added"): InputState.IDLE,  # the committed item
}

ITEM_TABLE: Final[dict[tuple[ItemState, str], ItemState]] = {
    (ItemState.OPEN, "conversation.item.done"): ItemState.SETTLED,
    (ItemState.SETTLED, "response.output_item.done"): ItemState.DONE,
}
"""In the conversation; out of band, where there is no ``conversation.item.*``: `OUT_OF_BAND_ITEM_TABLE`."""

OUT_OF_BAND_ITEM_TABLE: Final[dict[tuple[ItemState, str], ItemState]] = {
    (ItemState.OPEN, "response.output_item.done"): ItemState.DONE,
}

PART_TABLE: Final[dict[tuple[PartState, str], PartState]] = {
    (PartState.TEXT, "response.output_text.delta"): PartState.TEXT,
    (PartState.TEXT, "response.output_text.done"): PartState.ENDED,
    (PartState.AUDIO, "response.output_audio.delta"): PartState.AUDIO,
    (PartState.AUDIO, "response.output_audio_transcript.delta"): PartState.AUDIO,
    (PartState.AUDIO, "response.output_audio.done"): PartState.AUDIO_ENDED,
    (PartState.AUDIO, "response.output_audio_transcript.done"): PartState.TRANSCRIPT_ENDED,
    (PartState.AUDIO_ENDED, "response.output_audio_transcript.delta"): PartState.AUDIO_ENDED,
    (PartState.AUDIO_ENDED, "response.output_audio_transcript.done"): PartState.ENDED,
    (PartState.TRANSCRIPT_ENDED, "response.output_audio.delta"): PartState.TRANSCRIPT_ENDED,
    (PartState.TRANSCRIPT_ENDED, "response.output_audio.done"): PartState.ENDED,
    (PartState.ENDED, "response.content_part.done"): PartState.DONE,
    (PartState.ARGUMENTS, "response.function_call_arguments.delta"): PartState.ARGUMENTS,
    (PartState.ARGUMENTS, "response.function_call_arguments.done"): PartState.DONE,
    (PartState.MCP_ARGUMENTS, "response.mcp_call_arguments.delta"): PartState.MCP_ARGUMENTS,
    (PartState.MCP_ARGUMENTS, "response.mcp_call_arguments.done"): PartState.CALLED,
    (PartState.CALLED, "response.mcp_call.in_progress"): PartState.RUNNING,
    (PartState.RUNNING, "response.mcp_call.completed"): PartState.DONE,
    (PartState.RUNNING, "response.mcp_call.failed"): PartState.DONE,
}

MCP_LIST_TABLE: Final[dict[tuple[McpListState, str], McpListState]] = {
    (McpListState.ADDED, "mcp_list_tools.in_progress"): McpListState.LISTING,
    (McpListState.LISTING, "mcp_list_tools.completed"): McpListState.ENDED,
    (McpListState.LISTING, "mcp_list_tools.failed"): McpListState.ENDED,
}

PLAYBACK_TABLE: Final[dict[tuple[PlaybackState, str], PlaybackState]] = {
    (PlaybackState.IDLE, "output_audio_buffer.started"): PlaybackState.PLAYING,
    (PlaybackState.PLAYING, "output_audio_buffer.stopped"): PlaybackState.IDLE,
    (PlaybackState.PLAYING, "output_audio_buffer.cleared"): PlaybackState.IDLE,
}

S = TypeVar("S", bound=enum.Enum)


def step(table: dict[tuple[S, str], S], state: S, event_type: str) -> S:
    """The next state.

    Raises:
        ProtocolError: the event is not legal in this state; says which are.
    """
    after = table.get((state, event_type))
    if after is None:
        legal = sorted(name for before, name in table if before is state)
        raise ProtocolError(
            f"{event_type} is not possible now: the {type(state).__name__.removesuffix('State').lower()} is "
            f"{state.value!r}, where {', '.join(legal) or 'nothing'} may follow.",
            code="invalid_event",
            param="type",
        )
    return after
