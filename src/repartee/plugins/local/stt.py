"""Streaming speech recognition on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from repartee.errors import ModelError
from repartee.inference import shared
from repartee.models import STT as AbstractSTT
from repartee.models import STTCapabilities, STTEvent, STTStream
from repartee.plugins.local.recognition import RATE, RecognitionStream
from repartee.plugins.local.sphinx import SHARDS_MAX, SphinxEngine, find_model

__all__ = ["STT"]


class STT(AbstractSTT):
    """Local speech recognition; see `repartee.models.STT`."""

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        grammar: str | None = None,
        vocabulary: Mapping[str, str] | None = None,
        dictionary: str | Path | None = None,
        language_model: str | Path | None = None,
        threads: int | None = None,
        max_decoders: int = 32,
    ) -> None:
        threads = threads if threads is not None else min(SHARDS_MAX, os.cpu_count() or 1)
        found = find_model(model, dictionary, language_model)
        from dataclasses import replace

        found = replace(found, grammar=grammar, words=tuple(sorted((vocabulary or {}).items())))
        self.capabilities = STTCapabilities(interim=True, word_times=True, sample_rate=RATE)
        self._engine: SphinxEngine = shared(
            ("sphinx", found, threads, max_decoders),
            lambda: SphinxEngine(found, threads=threads, decoders_max=max_decoders),
        )

    def stream(
        self,
        *,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> STTStream:
        """Begin recognition of one speaker; see `repartee.models.STT.stream`."""
        return RecognitionStream(self._engine, sample_rate, on_event, on_error)

    async def prewarm(self) -> None:
        """Load the model and one decoder (about 0.3 s), off the event loop."""
        await self._engine.prewarm()
