"""A speech-to-speech model behind the OpenAI Realtime protocol.

The names load their module when first used (PEP 562), so importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repartee.plugins.openai.realtime.model import RealtimeModel as RealtimeModel
    from repartee.plugins.openai.realtime.options import NOT_GIVEN as NOT_GIVEN
    from repartee.plugins.openai.realtime.options import NotGivenOr as NotGivenOr
    from repartee.protocol.config import NoiseReduction as NoiseReduction
    from repartee.protocol.config import Prompt as Prompt
    from repartee.protocol.config import Reasoning as Reasoning
    from repartee.protocol.config import RetentionRatio as RetentionRatio
    from repartee.protocol.config import SemanticVad as SemanticVad
    from repartee.protocol.config import ServerVad as ServerVad
    from repartee.protocol.config import TokenLimits as TokenLimits
    from repartee.protocol.config import Tracing as Tracing
    from repartee.protocol.config import Transcription as InputAudioTranscription
    from repartee.protocol.config import Transcription as Transcription

_CONFIG = "repartee.protocol.config"
_MODULES = {
    "RealtimeModel": f"{__name__}.model",
    "NOT_GIVEN": f"{__name__}.options",
    "NotGivenOr": f"{__name__}.options",
    "InputAudioTranscription": _CONFIG,
    "NoiseReduction": _CONFIG,
    "Prompt": _CONFIG,
    "Reasoning": _CONFIG,
    "RetentionRatio": _CONFIG,
    "SemanticVad": _CONFIG,
    "ServerVad": _CONFIG,
    "TokenLimits": _CONFIG,
    "Tracing": _CONFIG,
    "Transcription": _CONFIG,
}
_RENAMED = {"InputAudioTranscription": "Transcription"}  # the name that the tutorial's readers know

__all__ = [
    "NOT_GIVEN",
    "InputAudioTranscription",
    "NoiseReduction",
    "NotGivenOr",
    "Prompt",
    "RealtimeModel",
    "Reasoning",
    "RetentionRatio",
    "SemanticVad",
    "ServerVad",
    "TokenLimits",
    "Tracing",
    "Transcription",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), _RENAMED.get(name, name))
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
