"""What a server sends while it responds, plays, calls MCP servers, and translates.

Every event of a response names it (``response_id``), the item (``item_id``, and its place ``output_index``) and, in a
message, the part (``content_index``).
"""

from __future__ import annotations

from repartee.protocol.items import ContentPart, Item
from repartee.protocol.model import UNSET, Maybe, Model, member
from repartee.protocol.responses import Response
from repartee.protocol.server_events import ServerEvent

__all__ = [
    "McpListToolsCompleted",
    "McpListToolsFailed",
    "McpListToolsInProgress",
    "OutputAudioBufferCleared",
    "OutputAudioBufferStarted",
    "OutputAudioBufferStopped",
    "ResponseContentPartAdded",
    "ResponseContentPartDone",
    "ResponseCreated",
    "ResponseDone",
    "ResponseFunctionCallArgumentsDelta",
    "ResponseFunctionCallArgumentsDone",
    "ResponseMcpCallArgumentsDelta",
    "ResponseMcpCallArgumentsDone",
    "ResponseMcpCallCompleted",
    "ResponseMcpCallFailed",
    "ResponseMcpCallInProgress",
    "ResponseOutputAudioDelta",
    "ResponseOutputAudioDone",
    "ResponseOutputAudioTranscriptDelta",
    "ResponseOutputAudioTranscriptDone",
    "ResponseOutputItemAdded",
    "ResponseOutputItemDone",
    "ResponseOutputTextDelta",
    "ResponseOutputTextDone",
    "SessionClosed",
    "SessionInputTranscriptDelta",
    "SessionOutputAudioDelta",
    "SessionOutputTranscriptDelta",
]


class _Event(Model, frozen=True, kw_only=True):
    event_id: Maybe[str] = UNSET


class _OutputEvent(_Event, frozen=True, kw_only=True):
    response_id: str
    item_id: str
    output_index: int


class _ContentEvent(_OutputEvent, frozen=True, kw_only=True):
    content_index: int


# ------------------------------------------------------------------------------------------------- the response


@member(ServerEvent)
class ResponseCreated(_Event, ServerEvent, frozen=True, kw_only=True, tag="response.created"):
    """A response begins."""

    response: Response


@member(ServerEvent)
class ResponseDone(_Event, ServerEvent, frozen=True, kw_only=True, tag="response.done"):
    """A response is over, in whatever way; exactly one for each ``response.created``."""

    response: Response


@member(ServerEvent)
class ResponseOutputItemAdded(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="response.output_item.added"
):
    """An item of a response begins, status ``in_progress``. Items may overlap."""

    response_id: str
    output_index: int
    item: Item


@member(ServerEvent)
class ResponseOutputItemDone(_Event, ServerEvent, frozen=True, kw_only=True, tag="response.output_item.done"):
    """An item of a response is complete, or cut off."""

    response_id: str
    output_index: int
    item: Item


@member(ServerEvent)
class ResponseContentPartAdded(
    _ContentEvent, ServerEvent, frozen=True, kw_only=True, tag="response.content_part.added"
):
    """A part of a message begins: ``text`` or ``audio``, empty."""

    part: ContentPart


@member(ServerEvent)
class ResponseContentPartDone(
    _ContentEvent, ServerEvent, frozen=True, kw_only=True, tag="response.content_part.done"
):
    """A part of a message is complete: ``text``, or ``audio`` with its transcript."""

    part: ContentPart


# ----------------------------------------------------------------------------------------------------- its contents


@member(ServerEvent)
class ResponseOutputTextDelta(
    _ContentEvent, ServerEvent, frozen=True, kw_only=True, tag="response.output_text.delta"
):
    """More text."""

    delta: str
    obfuscation: Maybe[str] = UNSET
    """Random: hides the length of ``delta``. So in all deltas but the audio's."""


@member(ServerEvent)
class ResponseOutputTextDone(
    _ContentEvent, ServerEvent, frozen=True, kw_only=True, tag="response.output_text.done"
):
    """All of the text."""

    text: str


@member(ServerEvent)
class ResponseOutputAudioDelta(
    _ContentEvent, ServerEvent, frozen=True, kw_only=True, tag="response.output_audio.delta"
):
    """More of the model's voice. Not on WebRTC and SIP, where it is a media stream."""

    delta: bytes
    """In the session's output format."""


@member(ServerEvent)
class ResponseOutputAudioDone(
    _ContentEvent, ServerEvent, frozen=True, kw_only=True, tag="response.output_audio.done"
):
    """All of the audio was sent, or it was cut off."""


@member(ServerEvent)
class ResponseOutputAudioTranscriptDelta(
    _ContentEvent, ServerEvent, frozen=True, kw_only=True, tag="response.output_audio_transcript.delta"
):
    """More of the words that the audio says. Usually ahead of it."""

    delta: str
    obfuscation: Maybe[str] = UNSET


@member(ServerEvent)
class ResponseOutputAudioTranscriptDone(
    _ContentEvent, ServerEvent, frozen=True, kw_only=True, tag="response.output_audio_transcript.done"
):
    """All of the words, or those until it was cut off."""

    transcript: str


@member(ServerEvent)
class ResponseFunctionCallArgumentsDelta(
    _OutputEvent, ServerEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"
):
    """More of a call's arguments (JSON)."""

    call_id: str
    delta: str
    obfuscation: Maybe[str] = UNSET


@member(ServerEvent)
class ResponseFunctionCallArgumentsDone(
    _OutputEvent, ServerEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.done"
):
    """All of a call's arguments (JSON): the function may be run."""

    call_id: str
    name: Maybe[str] = UNSET
    """OpenAI always sends it; some servers don't."""
    arguments: str


# --------------------------------------------------------------------------------------------------------------- MCP


@member(ServerEvent)
class ResponseMcpCallArgumentsDelta(
    _OutputEvent, ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call_arguments.delta"
):
    """More of an MCP call's arguments (JSON)."""

    delta: str
    obfuscation: Maybe[str] = UNSET


@member(ServerEvent)
class ResponseMcpCallArgumentsDone(
    _OutputEvent, ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call_arguments.done"
):
    """All of an MCP call's arguments (JSON)."""

    arguments: str


class _McpCallEvent(_Event, frozen=True, kw_only=True):
    item_id: str
    output_index: int


@member(ServerEvent)
class ResponseMcpCallInProgress(
    _McpCallEvent, ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call.in_progress"
):
    """The service calls the MCP server."""


@member(ServerEvent)
class ResponseMcpCallCompleted(
    _McpCallEvent, ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call.completed"
):
    """The MCP server answered."""


@member(ServerEvent)
class ResponseMcpCallFailed(
    _McpCallEvent, ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call.failed"
):
    """The MCP server could not be called."""


class _McpListEvent(_Event, frozen=True, kw_only=True):
    item_id: str


@member(ServerEvent)
class McpListToolsInProgress(
    _McpListEvent, ServerEvent, frozen=True, kw_only=True, tag="mcp_list_tools.in_progress"
):
    """The service asks an MCP server for its tools."""


@member(ServerEvent)
class McpListToolsCompleted(
    _McpListEvent, ServerEvent, frozen=True, kw_only=True, tag="mcp_list_tools.completed"
):
    """It has them; the item follows."""


@member(ServerEvent)
class McpListToolsFailed(_McpListEvent, ServerEvent, frozen=True, kw_only=True, tag="mcp_list_tools.failed"):
    """It got none."""


# ---------------------------------------------------------------------------------------------- playback at the server


class _PlaybackEvent(_Event, frozen=True, kw_only=True):
    response_id: str


@member(ServerEvent)
class OutputAudioBufferStarted(
    _PlaybackEvent, ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.started"
):
    """WebRTC and SIP: a response is heard."""


@member(ServerEvent)
class OutputAudioBufferStopped(
    _PlaybackEvent, ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.stopped"
):
    """WebRTC and SIP: a response has been heard to its end; after its ``response.done``."""


@member(ServerEvent)
class OutputAudioBufferCleared(
    _PlaybackEvent, ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.cleared"
):
    """WebRTC and SIP: the playback was cut off, by the caller's speech or by ``output_audio_buffer.clear``."""


# -------------------------------------------------------------------------------------------- translation sessions


@member(ServerEvent)
class SessionClosed(_Event, ServerEvent, frozen=True, kw_only=True, tag="session.closed"):
    """Translation only: all is translated, the session is over."""


@member(ServerEvent)
class SessionInputTranscriptDelta(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="session.input_transcript.delta"
):
    """Translation only: more of the speaker's words."""

    delta: str
    elapsed_ms: Maybe[int] = UNSET
    """Where in the session's audio."""


@member(ServerEvent)
class SessionOutputTranscriptDelta(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="session.output_transcript.delta"
):
    """Translation only: more of the words in the other language."""

    delta: str
    elapsed_ms: Maybe[int] = UNSET


@member(ServerEvent)
class SessionOutputAudioDelta(
    _Event, ServerEvent, frozen=True, kw_only=True, tag="session.output_audio.delta"
):
    """Translation only: more of the voice in the other language."""

    delta: bytes
    """16-bit PCM as ``sample_rate`` and ``channels`` say; absent: 24 kHz mono."""
    sample_rate: Maybe[int] = UNSET
    channels: Maybe[int] = UNSET
    format: Maybe[str] = UNSET
    """``pcm16``."""
    elapsed_ms: Maybe[int] = UNSET
