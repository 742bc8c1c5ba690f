"""The session as a value: what a server begins with, how an update changes it, how it is told.

An update is a merge: absent stays, a value replaces, ``null`` switches off what can be off and gives back the default
of everything else; ``[]`` clears tools, and ``instructions: ""`` brings the default ones back.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from repartee.protocol.config import (
    AudioInputConfig,
    AudioOutputConfig,
    NoiseReduction,
    PcmaAudio,
    PcmAudio,
    PcmuAudio,
    RealtimeSession,
    SemanticVad,
    ServerVad,
    SessionAudio,
    SessionConfig,
    Transcription,
    TranscriptionSession,
    TranslationSession,
    TurnDetection,
    VoiceId,
)
from repartee.protocol.model import UNSET, Model, given, replace
from repartee.protocol.responses import Response, ResponseAudio, ResponseParams

__all__ = [
    "SessionKind",
    "bytes_per_ms",
    "default_session",
    "input_of",
    "kind_of",
    "merge",
    "output_of",
    "turn_detection_of",
]

SessionKind = Literal["realtime", "transcription", "translation"]

DEFAULT_INSTRUCTIONS: Final = (
    "You are a helpful, friendly assistant who speaks. Answer briefly and naturally, in the language that you are "
    "spoken to. Call a function whenever one can help."
)

CAN_BE_NULL: Final = frozenset(
    {"include", "noise_reduction", "prompt", "reasoning", "tracing", "transcription", "turn_detection"}
)
"""Fields that ``null`` switches off; elsewhere it gives back the default."""

GIVEN_BY_SERVER: Final = frozenset({"expires_at", "id", "object", "type"})

SAMPLE_BYTES: Final = 2
PCM_RATE: Final = 24_000


def default_session(
    kind: SessionKind = "realtime",
    *,
    id: str,
    model: str = "",
    voice: str = "marin",
    expires_at: int = 0,
    instructions: str = DEFAULT_INSTRUCTIONS,
) -> SessionConfig:
    """The session that a server begins with: every field given, as clients expect it.

    Args:
        kind: which of the three.
        id: of the session.
        model: the model's name.
        voice: the voice's name.
        expires_at: when it ends, in seconds of Unix time. Default: 0, not told.
        instructions: what an empty update brings back.
    """
    if kind == "translation":
        return TranslationSession(
            type="translation", id=id, model=model, audio=SessionAudio(), expires_at=expires_at
        )
    pcm = PcmAudio(rate=PCM_RATE)
    hears = AudioInputConfig(
        format=pcm, transcription=None, noise_reduction=None, turn_detection=_complete(ServerVad())
    )
    if kind == "transcription":
        return TranscriptionSession(
            id=id,
            object="realtime.transcription_session",
            audio=SessionAudio(input=hears),
            include=None,
            expires_at=expires_at,
        )
    return RealtimeSession(
        id=id,
        object="realtime.session",
        model=model,
        output_modalities=["audio"],
        instructions=instructions,
        audio=SessionAudio(input=hears, output=AudioOutputConfig(format=pcm, voice=voice, speed=1.0)),
        tools=[],
        tool_choice="auto",
        max_output_tokens="inf",
        truncation="auto",
        tracing=None,
        prompt=None,
        include=None,
        expires_at=expires_at,
    )


def merge(session: SessionConfig, update: SessionConfig, defaults: SessionConfig) -> SessionConfig:
    """The session after an update.

    Args:
        session: as it is.
        update: of the same kind; what the server gives (id, expiry) is ignored.
        defaults: as `default_session` made it, for what ``null`` gives back.
    """
    merged: SessionConfig = _merge(session, update, defaults, isinstance(session, TranslationSession))
    return merged


def _merge(old: Any, update: Any, defaults: Any, narrow: bool) -> Any:
    changes: dict[str, Any] = {}
    for name in update.__struct_fields__:
        value = getattr(update, name)
        if value is UNSET or (name in GIVEN_BY_SERVER):
            continue
        default = getattr(defaults, name, UNSET) if isinstance(defaults, Model) else UNSET
        if value is None:
            changes[name] = None if name in CAN_BE_NULL else default
        elif name == "instructions" and value == "":
            changes[name] = default
        elif isinstance(value, SessionAudio | AudioInputConfig | AudioOutputConfig):
            before = getattr(old, name)
            if not isinstance(before, Model):
                before = type(value)()
            changes[name] = _merge(before, value, default, narrow)
        else:
            changes[name] = value if narrow else _complete(value)
    return replace(old, **changes)


def _complete(value: Any) -> Any:
    """A part of a session with the defaults where it is silent, in the narrow shape that clients can read."""
    if isinstance(value, ServerVad):
        return replace(
            value,
            threshold=given(value.threshold, 0.5),
            prefix_padding_ms=given(value.prefix_padding_ms, 300),
            silence_duration_ms=given(value.silence_duration_ms, 500),
            idle_timeout_ms=value.idle_timeout_ms or None,
            create_response=given(value.create_response, True),
            interrupt_response=given(value.interrupt_response, True),
        )
    if isinstance(value, SemanticVad):
        return replace(
            value,
            eagerness=given(value.eagerness, "auto"),
            create_response=given(value.create_response, True),
            interrupt_response=given(value.interrupt_response, True),
        )
    if isinstance(value, PcmAudio):
        return replace(value, rate=given(value.rate, PCM_RATE))
    if isinstance(value, Transcription):
        return replace(
            value,
            language=None if value.language is UNSET else value.language,
            prompt=None if value.prompt is UNSET else value.prompt,
        )
    if isinstance(value, NoiseReduction):
        return replace(value, strength=UNSET)
    if isinstance(value, VoiceId):
        return value.id
    return value


# ------------------------------------------------------------------------------------------- what others ask of it


def kind_of(session: SessionConfig) -> SessionKind | None:
    """Which kind a session is; ``None``: one that is not known."""
    if isinstance(session, RealtimeSession):
        return "realtime"
    if isinstance(session, TranscriptionSession):
        return "transcription"
    return "translation" if isinstance(session, TranslationSession) else None


def input_of(session: SessionConfig | None) -> AudioInputConfig:
    """What a session says of its input; empty if it says nothing."""
    audio = getattr(session, "audio", None)
    hears = audio.input if isinstance(audio, SessionAudio) else None
    return hears if isinstance(hears, AudioInputConfig) else AudioInputConfig()


def output_of(session: SessionConfig | Response | ResponseParams | None) -> AudioOutputConfig:
    """What a session, or a response, says of its output; empty if it says nothing."""
    audio = getattr(session, "audio", None)
    sounds = audio.output if isinstance(audio, SessionAudio | ResponseAudio) else None
    return sounds if isinstance(sounds, AudioOutputConfig) else AudioOutputConfig()


def turn_detection_of(session: SessionConfig | None) -> TurnDetection | None:
    """Who ends the caller's turn at the server; ``None``: the client does."""
    found = input_of(session).turn_detection
    return found if isinstance(found, TurnDetection) else None


def bytes_per_ms(format: object) -> int:
    """Bytes of audio a millisecond: 48 for 24 kHz PCM (also where no format is given), 8 for G.711."""
    if isinstance(format, PcmuAudio | PcmaAudio):
        return 8
    rate = given(format.rate, PCM_RATE) if isinstance(format, PcmAudio) else PCM_RATE
    return max(1, rate * SAMPLE_BYTES // 1000)
