"""What `RealtimeModel` was told, and the ``session.update`` that says it to the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, Union

import msgspec

from repartee.errors import ConfigurationError
from repartee.models import SessionOptions
from repartee.plugins.openai.realtime.mapping import tool_choice_of, tools_of
from repartee.protocol import config as wire
from repartee.protocol.model import UNSET, Maybe, UnsetType, from_raw, given, replace

__all__ = [
    "NOT_GIVEN",
    "NotGivenOr",
    "RealtimeOptions",
    "as_model",
    "changed_config",
    "is_audible",
    "session_config",
    "transcription_of",
]

T = TypeVar("T")

NOT_GIVEN = UNSET
"""A parameter that was not given: the server's default counts. ``None`` means off."""

NotGivenOr = Union[T, UnsetType]  # noqa: UP007 (an alias with a parameter)


def as_model(name: str, value: object, kind: type[T]) -> Maybe[T]:
    """A parameter given as an object of the protocol, as a plain dict, as ``None`` (off), or not at all.

    Raises:
        ConfigurationError: it is something else, or a field of it is wrong; the message names it.
    """
    if value is None or value is UNSET or isinstance(value, kind):
        return value
    if isinstance(value, Mapping):
        try:
            return from_raw(kind, dict(value))
        except (msgspec.ValidationError, ValueError) as error:
            raise ConfigurationError(f"{name} is not right: {error}") from None
    raise ConfigurationError(
        f"{name} is a {type(value).__name__}; it must be a {kind.__name__}, a dict, None (off), or left out"
    )


@dataclass(frozen=True, slots=True)
class RealtimeOptions:
    """What every session of a model has in common."""

    model: str
    voice: str
    modalities: tuple[str, ...] = ("audio",)
    turn_detection: Maybe[wire.TurnDetection] = UNSET
    input_audio_transcription: Maybe[wire.Transcription] = UNSET
    input_audio_noise_reduction: Maybe[wire.NoiseReduction] = UNSET
    tool_choice: str | None = None
    parallel_tool_calls: Maybe[bool] = UNSET
    speed: Maybe[float] = UNSET
    max_response_output_tokens: Maybe[int | str] = UNSET
    truncation: Maybe[str | wire.RetentionRatio] = UNSET
    tracing: Maybe[str | wire.Tracing] = UNSET
    reasoning: Maybe[wire.Reasoning] = UNSET
    include: Maybe[list[str]] = UNSET
    prompt: Maybe[wire.Prompt] = UNSET
    instructions: str | None = None

    @property
    def detects_turns(self) -> bool:
        """Whether the server says when a turn is over: it does unless it is told not to."""
        return self.turn_detection is not None

    @property
    def answers_turns(self) -> bool:
        """Whether the server answers a turn by itself."""
        return self.detects_turns and getattr(self.turn_detection, "create_response", UNSET) is not False


def is_audible(model: RealtimeOptions, session: SessionOptions) -> bool:
    """Whether responses are spoken."""
    return "audio" in session.modalities and "audio" in model.modalities


def session_config(model: RealtimeOptions, session: SessionOptions) -> wire.RealtimeSession:
    """The whole configuration, for a new connection."""
    instructions = session.instructions or model.instructions
    limit = model.max_response_output_tokens
    return wire.RealtimeSession(
        output_modalities=["audio"] if is_audible(model, session) else ["text"],
        instructions=instructions if instructions else UNSET,
        audio=wire.SessionAudio(
            input=wire.AudioInputConfig(
                format=wire.PcmAudio(rate=24_000),
                transcription=transcription_of(model, session),
                noise_reduction=model.input_audio_noise_reduction,
                turn_detection=model.turn_detection,
            ),
            output=wire.AudioOutputConfig(
                format=wire.PcmAudio(rate=24_000),
                voice=session.voice or model.voice,
                speed=model.speed,
            ),
        ),
        tools=tools_of(session.tools),
        tool_choice=_choice(model, session),
        parallel_tool_calls=model.parallel_tool_calls,
        max_output_tokens=session.max_output_tokens if session.max_output_tokens is not None else limit,
        truncation=model.truncation,
        tracing=model.tracing,
        prompt=model.prompt,
        reasoning=model.reasoning,
        include=model.include,
    )


def changed_config(
    model: RealtimeOptions, old: SessionOptions, new: SessionOptions
) -> wire.RealtimeSession | None:
    """What an update changes, and no more: a server may begin anew with what it is told again. ``None``: nothing."""
    changes: dict[str, Any] = {}
    if new.instructions != old.instructions:
        # Left out they would stay, and empty they are the server's default (as measured).
        changes["instructions"] = new.instructions or model.instructions or ""
    if new.tools != old.tools:
        changes["tools"] = tools_of(new.tools)
    if _choice(model, new) != _choice(model, old):
        changes["tool_choice"] = _choice(model, new)
    if is_audible(model, new) != is_audible(model, old):
        changes["output_modalities"] = ["audio"] if is_audible(model, new) else ["text"]
    if new.max_output_tokens != old.max_output_tokens:
        limit = new.max_output_tokens
        changes["max_output_tokens"] = (
            limit if limit is not None else given(model.max_response_output_tokens, "inf")
        )
    if (new.voice or model.voice) != (old.voice or model.voice):
        changes["audio"] = wire.SessionAudio(output=wire.AudioOutputConfig(voice=new.voice or model.voice))
    transcription = transcription_of(model, new)
    if transcription != transcription_of(model, old):
        hears = wire.AudioInputConfig(transcription=None if transcription is UNSET else transcription)
        changes["audio"] = replace(changes.get("audio", wire.SessionAudio()), input=hears)
    return wire.RealtimeSession(**changes) if changes else None


def transcription_of(model: RealtimeOptions, session: SessionOptions) -> Maybe[wire.Transcription]:
    """How the caller's audio is written down: as the session wants it, else as the model has it."""
    if session.transcription is not None:
        wanted: wire.Transcription = from_raw(wire.Transcription, session.transcription)
        return wanted
    return model.input_audio_transcription


def _choice(model: RealtimeOptions, session: SessionOptions) -> Any:
    choice = session.tool_choice if session.tool_choice != "auto" else model.tool_choice or "auto"
    return tool_choice_of(choice)
