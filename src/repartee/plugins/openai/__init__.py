"""Models that speak OpenAI's API: OpenAI's own, Azure's, and any server of the same shape.

`LLM` (chat completions), `STT` (transcriptions) and `TTS` (speech) go through the official ``openai`` package with any
``base_url``: Ollama, vLLM, llama.cpp, a gateway. The names load their module when first used (PEP 562), so importing
this package costs nothing and works without the extra ``openai``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repartee.plugins.openai.llm import LLM as LLM
    from repartee.plugins.openai.stt import STT as STT
    from repartee.plugins.openai.tts import TTS as TTS

_MODULES = {"LLM": "llm", "STT": "stt", "TTS": "tts"}
_SUBMODULES = ("realtime",)

__all__ = ["LLM", "STT", "TTS"]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_SUBMODULES})
