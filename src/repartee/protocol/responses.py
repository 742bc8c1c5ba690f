"""Responses: what a client may ask for, and what the server tells of one."""

from __future__ import annotations

from repartee.protocol.config import AudioOutputConfig, Prompt, Reasoning
from repartee.protocol.items import Item
from repartee.protocol.model import UNSET, Maybe, Model
from repartee.protocol.tools import Tool, ToolChoice

__all__ = [
    "CachedTokensDetails",
    "InputTokenDetails",
    "OutputTokenDetails",
    "Response",
    "ResponseAudio",
    "ResponseError",
    "ResponseParams",
    "StatusDetails",
    "Usage",
]


class ResponseAudio(Model, frozen=True, kw_only=True):
    """The audio of one response."""

    output: Maybe[AudioOutputConfig] = UNSET
    """``format`` and ``voice`` only."""


class ResponseParams(Model, frozen=True, kw_only=True):
    """What a client wants of one response. What is absent is as the session says."""

    conversation: Maybe[str] = UNSET
    """``auto`` (the default), or ``none``: out of band, its items join no conversation."""
    input: Maybe[list[Item]] = UNSET
    """What the model sees instead of the conversation, with references to it; ``[]``: nothing."""
    instructions: Maybe[str] = UNSET
    output_modalities: Maybe[list[str]] = UNSET
    """``["audio"]`` or ``["text"]``."""
    audio: Maybe[ResponseAudio] = UNSET
    tools: Maybe[list[Tool]] = UNSET
    tool_choice: Maybe[str | ToolChoice] = UNSET
    parallel_tool_calls: Maybe[bool] = UNSET
    max_output_tokens: Maybe[int | str] = UNSET
    metadata: Maybe[dict[str, str]] = UNSET
    """At most 16 pairs, keys to 64 characters, values to 512; comes back in the response as it is."""
    prompt: Maybe[Prompt] = UNSET
    reasoning: Maybe[Reasoning] = UNSET


class ResponseError(Model, frozen=True, kw_only=True):
    """Why a response failed, or a transcription."""

    type: Maybe[str] = UNSET
    code: Maybe[str] = UNSET
    message: Maybe[str] = UNSET
    param: Maybe[str] = UNSET
    """Transcriptions only."""


class StatusDetails(Model, frozen=True, kw_only=True):
    """Why a response is over."""

    type: Maybe[str] = UNSET
    """``completed``, ``cancelled``, ``incomplete``, ``failed``: the response's status once more."""
    reason: Maybe[str] = UNSET
    """Cancelled: ``turn_detected``, ``client_cancelled``. Incomplete: ``max_output_tokens``, ``content_filter``."""
    error: Maybe[ResponseError] = UNSET
    """Failed."""


class CachedTokensDetails(Model, frozen=True, kw_only=True):
    """Input tokens that were cached, by kind."""

    text_tokens: Maybe[int] = UNSET
    audio_tokens: Maybe[int] = UNSET
    image_tokens: Maybe[int] = UNSET


class InputTokenDetails(Model, frozen=True, kw_only=True):
    """Input tokens, by kind."""

    text_tokens: Maybe[int] = UNSET
    audio_tokens: Maybe[int] = UNSET
    image_tokens: Maybe[int] = UNSET
    cached_tokens: Maybe[int] = UNSET
    cached_tokens_details: Maybe[CachedTokensDetails] = UNSET


class OutputTokenDetails(Model, frozen=True, kw_only=True):
    """Output tokens, by kind."""

    text_tokens: Maybe[int] = UNSET
    audio_tokens: Maybe[int] = UNSET
    reasoning_tokens: Maybe[int] = UNSET
    """Only from models that reason."""


class Usage(Model, frozen=True, kw_only=True):
    """Tokens that a response cost."""

    total_tokens: Maybe[int] = UNSET
    input_tokens: Maybe[int] = UNSET
    output_tokens: Maybe[int] = UNSET
    input_token_details: Maybe[InputTokenDetails] = UNSET
    output_token_details: Maybe[OutputTokenDetails] = UNSET


class Response(Model, frozen=True, kw_only=True):
    """A response as ``response.created`` and ``response.done`` tell it: all keys, ``null`` where empty."""

    object: Maybe[str] = UNSET
    """``realtime.response``."""
    id: Maybe[str] = UNSET
    status: Maybe[str] = UNSET
    """``in_progress``, then ``completed``, ``cancelled``, ``failed`` or ``incomplete``."""
    status_details: Maybe[StatusDetails | str] = UNSET
    """``null`` in progress and (with some servers) when completed; some send a word."""
    output: Maybe[list[Item]] = UNSET
    """Its items, without audio."""
    conversation_id: Maybe[str] = UNSET
    """``null``: out of band."""
    output_modalities: Maybe[list[str]] = UNSET
    max_output_tokens: Maybe[int | str] = UNSET
    audio: Maybe[ResponseAudio] = UNSET
    usage: Maybe[Usage] = UNSET
    metadata: Maybe[dict[str, str]] = UNSET
    """As the client gave it."""
