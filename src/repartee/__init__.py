"""repartee: real-time voice agents that answer at once, stop when interrupted, and know what was heard.

The names here are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from repartee._version import __version__

if TYPE_CHECKING:
    from repartee.audio import AudioFrame
    from repartee.chat import ChatContext, FunctionTool, Message, RunContext, function_tool
    from repartee.compose import Fallback
    from repartee.errors import ReparteeError
    from repartee.io import AudioInput, AudioOutput, TextOutput
    from repartee.models import LLM, STT, TTS, VAD, RealtimeModel, TurnDetector
    from repartee.session import Agent, AgentSession, SpeechHandle
    from repartee.turns import (
        DynamicEndpointing,
        FixedEndpointing,
        InterruptionOptions,
        InterruptionProfile,
        SemanticEndpointing,
        SpeculationOptions,
    )

_HOMES = {
    "Agent": "session",
    "AgentSession": "session",
    "AudioFrame": "audio",
    "AudioInput": "io",
    "AudioOutput": "io",
    "ChatContext": "chat",
    "DynamicEndpointing": "turns",
    "Fallback": "compose",
    "FixedEndpointing": "turns",
    "FunctionTool": "chat",
    "InterruptionOptions": "turns",
    "InterruptionProfile": "turns",
    "LLM": "models",
    "Message": "chat",
    "RealtimeModel": "models",
    "ReparteeError": "errors",
    "RunContext": "chat",
    "STT": "models",
    "SemanticEndpointing": "turns",
    "SpeculationOptions": "turns",
    "SpeechHandle": "session",
    "TTS": "models",
    "TextOutput": "io",
    "TurnDetector": "models",
    "VAD": "models",
    "function_tool": "chat",
}

__all__ = [
    "LLM",
    "STT",
    "TTS",
    "VAD",
    "Agent",
    "AgentSession",
    "AudioFrame",
    "AudioInput",
    "AudioOutput",
    "ChatContext",
    "DynamicEndpointing",
    "Fallback",
    "FixedEndpointing",
    "FunctionTool",
    "InterruptionOptions",
    "InterruptionProfile",
    "Message",
    "RealtimeModel",
    "ReparteeError",
    "RunContext",
    "SemanticEndpointing",
    "SpeculationOptions",
    "SpeechHandle",
    "TextOutput",
    "TurnDetector",
    "__version__",
    "function_tool",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'repartee' has no attribute {name!r}")
    value = getattr(import_module(f"repartee.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
