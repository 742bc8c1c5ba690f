"""The embedded default: everything a conversation needs, on one CPU, with no key and no network.

`VAD` (Silero), `STT` (PocketSphinx, or a Whisper-family or sherpa-onnx model by path), `LLM` (llama.cpp), `TTS`
(eSpeak NG) and `RealtimeModel`, which is all of them together; `BUILTIN_TOOLS`, functions for the time, timers, sums
and the like. Each takes a better model by path or name.

The names load their module when first used (PEP 562), so importing this package costs nothing and works without
the extra ``local``; a missing package is reported by the part that needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repartee.plugins.local.functions import BUILTIN_TOOLS as BUILTIN_TOOLS
    from repartee.plugins.local.llm import LLM as LLM
    from repartee.plugins.local.realtime import RealtimeModel as RealtimeModel
    from repartee.plugins.local.stt import STT as STT
    from repartee.plugins.local.tts import TTS as TTS
    from repartee.plugins.local.vad import VAD as VAD

_MODULES = {
    "BUILTIN_TOOLS": "functions",
    "LLM": "llm",
    "RealtimeModel": "realtime",
    "STT": "stt",
    "TTS": "tts",
    "VAD": "vad",
}

__all__ = ["BUILTIN_TOOLS", "LLM", "STT", "TTS", "VAD", "RealtimeModel"]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
