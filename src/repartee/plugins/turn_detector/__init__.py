"""End-of-turn models: has the caller finished, going by the words?

`EnglishModel` is the default: SmolLM2-135M, the same weights and the same engine as the local language model, asked
what comes next in a transcript. `MultilingualModel` asks any GGUF model that you name, in its own form of prompt.

The names load their module when first used (PEP 562), so importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repartee.plugins.turn_detector.english import EnglishModel as EnglishModel
    from repartee.plugins.turn_detector.multilingual import MultilingualModel as MultilingualModel

_MODULES = {"EnglishModel": "english", "MultilingualModel": "multilingual"}

__all__ = ["EnglishModel", "MultilingualModel"]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
