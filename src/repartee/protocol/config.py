"""Session configuration: realtime, transcription and translation sessions, and all that they are made of.

Every field is three-valued (`repartee.protocol.model`): in ``session.update`` an absent field stays as it is, ``null``
switches off or restores the default, a value replaces. Words that the vendor may add to (voices, models, efforts) are
plain ``str``; `repartee.protocol.limits` says which values a server accepts.
"""

from __future__ import annotations

from typing import Any, ClassVar

from repartee.protocol.model import UNSET, Family, Maybe, Model, Unknown, member
from repartee.protocol.tools import Tool, ToolChoice

__all__ = [
    "AudioFormat",
    "AudioInputConfig",
    "AudioOutputConfig",
    "NoiseReduction",
    "PcmAudio",
    "PcmaAudio",
    "PcmuAudio",
    "Prompt",
    "RealtimeSession",
    "Reasoning",
    "RetentionRatio",
    "SemanticVad",
    "ServerVad",
    "SessionAudio",
    "SessionConfig",
    "TokenLimits",
    "Tracing",
    "Transcription",
    "TranscriptionSession",
    "TranslationSession",
    "TurnDetection",
    "UnknownAudioFormat",
    "UnknownSession",
    "UnknownTurnDetection",
    "VoiceId",
]


# ------------------------------------------------------------------------------------------------- audio formats


class AudioFormat(Family):
    """How audio is encoded: `PcmAudio`, `PcmuAudio`, `PcmaAudio`, or `UnknownAudioFormat`. Always mono."""

    __slots__ = ()
    members: ClassVar[dict[str, type[Any]]] = {}


class UnknownAudioFormat(Unknown, AudioFormat):
    """A format that this version doesn't know."""

    __slots__ = ()


AudioFormat.unknown = UnknownAudioFormat


@member(AudioFormat)
class PcmAudio(Model, AudioFormat, frozen=True, kw_only=True, tag="audio/pcm"):
    """Signed 16-bit samples, little-endian."""

    rate: Maybe[int] = UNSET
    """Samples a second; 24000 is the only one that the service takes, and what absent means."""


@member(AudioFormat)
class PcmuAudio(Model, AudioFormat, frozen=True, kw_only=True, tag="audio/pcmu"):
    """G.711 µ-law, 8000 samples a second, one byte each."""


@member(AudioFormat)
class PcmaAudio(Model, AudioFormat, frozen=True, kw_only=True, tag="audio/pcma"):
    """G.711 A-law, 8000 samples a second, one byte each."""


# ------------------------------------------------------------------------------------------------- turn detection


class TurnDetection(Family):
    """Who ends the caller's turn, at the server: `ServerVad`, `SemanticVad`, or `UnknownTurnDetection`.

    ``null`` in its place: the client does (``input_audio_buffer.commit``, ``response.create``).
    """

    __slots__ = ()
    members: ClassVar[dict[str, type[Any]]] = {}


class UnknownTurnDetection(Unknown, TurnDetection):
    """A kind of turn detection that this version doesn't know."""

    __slots__ = ()


TurnDetection.unknown = UnknownTurnDetection


@member(TurnDetection)
class ServerVad(Model, TurnDetection, frozen=True, kw_only=True, tag="server_vad"):
    """The server's voice activity detection: a turn ends after a length of silence."""

    threshold: Maybe[float] = UNSET
    """Speech probability, 0–1, above which it is speech. Absent: 0.5."""
    prefix_padding_ms: Maybe[int] = UNSET
    """Audio kept from before the speech began. Absent: 300."""
    silence_duration_ms: Maybe[int] = UNSET
    """Silence that ends the turn. Absent: 500 (200 in gpt-realtime sessions)."""
    idle_timeout_ms: Maybe[int] = UNSET
    """5000–30000: after a reply has been played and nothing said for so long, the model speaks up. Absent: never."""
    create_response: Maybe[bool] = UNSET
    """Whether the end of a turn starts a response. Absent: yes."""
    interrupt_response: Maybe[bool] = UNSET
    """Whether the beginning of speech cancels the response in progress. Absent: yes."""


@member(TurnDetection)
class SemanticVad(Model, TurnDetection, frozen=True, kw_only=True, tag="semantic_vad"):
    """The server judges from the words whether the caller has finished."""

    eagerness: Maybe[str] = UNSET
    """``low``, ``medium``, ``high``: waits at most 8, 4, 2 s. Absent: ``auto``, which is medium."""
    create_response: Maybe[bool] = UNSET
    """As in `ServerVad`."""
    interrupt_response: Maybe[bool] = UNSET
    """As in `ServerVad`."""


# ----------------------------------------------------------------------------------------------- parts of a session


class Transcription(Model, frozen=True, kw_only=True):
    """How the caller's audio is written down, beside the model that hears it. In translation: only ``model``."""

    model: Maybe[str] = UNSET
    language: Maybe[str] = UNSET
    """ISO 639-1, such as ``en``. Absent: found out."""
    languages: Maybe[list[str]] = UNSET
    """Languages that may occur (gpt-transcribe, gpt-live-transcribe)."""
    prompt: Maybe[str] = UNSET
    keywords: Maybe[list[str]] = UNSET
    """Words to expect (gpt-transcribe, gpt-live-transcribe)."""
    delay: Maybe[str] = UNSET
    """``minimal`` … ``xhigh``: later is more accurate (gpt-realtime-whisper)."""


class NoiseReduction(Model, frozen=True, kw_only=True):
    """Noise reduction before turn detection and the model."""

    type: Maybe[str] = UNSET
    """``near_field`` (headset) or ``far_field`` (laptop, room)."""
    strength: Maybe[float] = UNSET


class VoiceId(Model, frozen=True, kw_only=True):
    """A custom voice."""

    id: str


class AudioInputConfig(Model, frozen=True, kw_only=True):
    """What a session hears."""

    format: Maybe[AudioFormat] = UNSET
    transcription: Maybe[Transcription] = UNSET
    """``null``: the caller's words are not written down."""
    noise_reduction: Maybe[NoiseReduction] = UNSET
    """``null``: off."""
    turn_detection: Maybe[TurnDetection] = UNSET
    """``null``: off, the client commits and asks for responses."""


class AudioOutputConfig(Model, frozen=True, kw_only=True):
    """How a session, or one response, sounds."""

    format: Maybe[AudioFormat] = UNSET
    voice: Maybe[str | VoiceId] = UNSET
    """Can't change once the session has produced audio."""
    speed: Maybe[float] = UNSET
    """0.25–1.5 (1.0), between turns only. Sessions only, not responses."""
    language: Maybe[str] = UNSET
    """The language translated into. Translation sessions only."""


class SessionAudio(Model, frozen=True, kw_only=True):
    """Both directions of a session's audio."""

    input: Maybe[AudioInputConfig] = UNSET
    output: Maybe[AudioOutputConfig] = UNSET


class Prompt(Model, frozen=True, kw_only=True):
    """A stored prompt."""

    id: str
    variables: Maybe[dict[str, Any]] = UNSET
    version: Maybe[str] = UNSET


class Reasoning(Model, frozen=True, kw_only=True):
    """For models that reason."""

    effort: Maybe[str] = UNSET
    """``minimal``, ``low``, ``medium``, ``high``, ``xhigh``."""


class Tracing(Model, frozen=True, kw_only=True):
    """Names for the traces that the service writes. In its place also ``"auto"``, or ``null``: none."""

    workflow_name: Maybe[str] = UNSET
    group_id: Maybe[str] = UNSET
    metadata: Maybe[dict[str, Any]] = UNSET


class TokenLimits(Model, frozen=True, kw_only=True):
    """Part of `RetentionRatio`."""

    post_instructions: Maybe[int] = UNSET
    """Tokens of conversation, instructions not counted, beyond which it is cut."""


class RetentionRatio(Model, frozen=True, kw_only=True, tag="retention_ratio"):
    """When the conversation outgrows the context, keep this part of it. In its place ``"auto"`` or ``"disabled"``."""

    retention_ratio: float
    """0–1."""
    token_limits: Maybe[TokenLimits] = UNSET


# ---------------------------------------------------------------------------------------------------------- sessions


class SessionConfig(Family):
    """`RealtimeSession`, `TranscriptionSession`, `TranslationSession`, or `UnknownSession`.

    Without ``type`` it is a `TranslationSession`, the one kind whose updates have none; a realtime connection
    refuses that with ``missing_required_parameter``.
    """

    __slots__ = ()
    members: ClassVar[dict[str, type[Any]]] = {}


class UnknownSession(Unknown, SessionConfig):
    """A kind of session that this version doesn't know."""

    __slots__ = ()


SessionConfig.unknown = UnknownSession


@member(SessionConfig)
class RealtimeSession(Model, SessionConfig, frozen=True, kw_only=True, tag="realtime"):
    """A speech-to-speech session.

    From the server all of it, with ``id``, ``object`` and ``expires_at``; in ``session.update`` only what changes.
    """

    id: Maybe[str] = UNSET
    object: Maybe[str] = UNSET
    """``realtime.session``."""
    model: Maybe[str] = UNSET
    """May be repeated, not changed."""
    output_modalities: Maybe[list[str]] = UNSET
    """``["audio"]`` (the default) or ``["text"]``, never both."""
    instructions: Maybe[str] = UNSET
    """``""`` brings the default instructions back."""
    audio: Maybe[SessionAudio] = UNSET
    tools: Maybe[list[Tool]] = UNSET
    """``[]`` clears them; absent keeps them."""
    tool_choice: Maybe[str | ToolChoice] = UNSET
    """``auto``, ``none``, ``required``, or one tool."""
    parallel_tool_calls: Maybe[bool] = UNSET
    max_output_tokens: Maybe[int | str] = UNSET
    """1–4096 a response, its calls included, or ``"inf"`` (the default)."""
    truncation: Maybe[str | RetentionRatio] = UNSET
    tracing: Maybe[str | Tracing] = UNSET
    prompt: Maybe[Prompt] = UNSET
    reasoning: Maybe[Reasoning] = UNSET
    include: Maybe[list[str]] = UNSET
    """``item.input_audio_transcription.logprobs``, or nothing."""
    expires_at: Maybe[int] = UNSET
    """When the session ends, in seconds of Unix time; 0 in the answer to a client-secret request."""


@member(SessionConfig)
class TranscriptionSession(Model, SessionConfig, frozen=True, kw_only=True, tag="transcription"):
    """A session that only writes down: no responses, no ``audio.output``."""

    id: Maybe[str] = UNSET
    object: Maybe[str] = UNSET
    """``realtime.transcription_session``."""
    audio: Maybe[SessionAudio] = UNSET
    include: Maybe[list[str]] = UNSET
    expires_at: Maybe[int] = UNSET
    """In seconds of Unix time."""


@member(SessionConfig)
class TranslationSession(Model, SessionConfig, frozen=True, kw_only=True):
    """A session that translates continuously: no turns, no items.

    ``type`` and ``model`` are fixed when it begins, and absent in updates.
    """

    type: Maybe[str] = UNSET
    id: Maybe[str] = UNSET
    model: Maybe[str] = UNSET
    audio: Maybe[SessionAudio] = UNSET
    expires_at: Maybe[int] = UNSET
    """In seconds of Unix time."""


SessionConfig.members["translation"] = TranslationSession
SessionConfig.untagged = TranslationSession
