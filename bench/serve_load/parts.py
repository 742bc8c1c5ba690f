"""What is served under load: a composed model whose parts cost next to nothing, and the real speech detector.

The recogniser reads a word for every 300 ms that it is given and has its final at once; the language model gives a
word every 20 ms; the voice gives its sound at the pace of real time, `DELTA_MS` at a time, each piece stamped with the
moment at which it was due.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable

from bench.realtime_load.pace import SAMPLE_RATE, STAMP_BYTES, stamp
from repartee.audio import AudioFrame
from repartee.compose import Conversing, Spoken, Transcribed
from repartee.errors import ModelError
from repartee.models import (
    LLM,
    STT,
    TTS,
    ChatRequest,
    Final,
    Interim,
    SpeechChunk,
    STTCapabilities,
    STTEvent,
    STTStream,
    TextDelta,
    TimedWord,
    TTSCapabilities,
)
from repartee.models.llm import ChatChunk, Usage
from repartee.server.served import Served

__all__ = ["DELTA_MS", "REPLY_MS", "served"]

DELTA_MS = 100
"""Length of a piece of the voice; the server process may set another before it serves."""
WORD_MS = 300
REPLY = "Two apples and three pears, which makes five, as you know well."
REPLY_MS = WORD_MS * len(REPLY.split())
TOKEN_S = 0.02


class LoadLLM(LLM):
    """Always says the same."""

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        for word in REPLY.split():
            await asyncio.sleep(TOKEN_S)
            yield TextDelta(f"{word} ")
        yield Usage(100, len(REPLY.split()))


class LoadSTT(STT):
    """Hears a word in every 300 ms."""

    capabilities = STTCapabilities(sample_rate=16_000)

    def stream(
        self,
        *,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> STTStream:
        return _LoadSTTStream(sample_rate, on_event)


class _LoadSTTStream(STTStream):
    def __init__(self, sample_rate: int, on_event: Callable[[STTEvent], None]) -> None:
        self._on_event = on_event
        self._word = sample_rate * WORD_MS // 1000
        self._samples = 0
        self._words = 0
        self._flushes = 0
        self._closed = False

    def push(self, frame: AudioFrame) -> None:
        self._samples += frame.samples
        while self._samples >= (self._words + 1) * self._word:
            self._words += 1
            self._give(Interim("word " * self._words, 5 * (self._words - 1)))

    def flush(self) -> int:
        self._flushes += 1
        self._give(Final("word " * self._words, flush_id=self._flushes))
        self._samples = self._words = 0
        return self._flushes

    def cancel(self) -> None:
        self._samples = self._words = 0

    async def aclose(self) -> None:
        self._closed = True

    def _give(self, event: STTEvent) -> None:
        asyncio.get_running_loop().call_soon(self._tell, event)

    def _tell(self, event: STTEvent) -> None:
        if not self._closed:
            self._on_event(event)


class LoadTTS(TTS):
    """Speaks noise at the pace of real time, a word every 300 ms."""

    capabilities = TTSCapabilities(SAMPLE_RATE, word_times=True)

    def __init__(self, delta_ms: int) -> None:
        self._delta_s = delta_ms / 1000
        self._sound = random.Random(3).randbytes(2 * SAMPLE_RATE * delta_ms // 1000 - STAMP_BYTES)
        self._samples = (len(self._sound) + STAMP_BYTES) // 2

    async def synthesize(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        loop = asyncio.get_running_loop()
        words, at = [], 0
        for index, word in enumerate(text.split()):
            at = text.index(word, at)
            words.append(TimedWord(at, at + len(word), index * float(WORD_MS)))
            at += len(word)
        due_s = loop.time()
        for index in range(round(len(words) * WORD_MS / 1000 / self._delta_s)):
            start_ms = index * self._delta_s * 1000
            inside = tuple(each for each in words if 0 <= each.start_ms - start_ms < self._delta_s * 1000)
            frame = AudioFrame(stamp(due_s) + self._sound, SAMPLE_RATE, 1, index * self._samples)
            yield SpeechChunk(frame, inside)
            due_s += self._delta_s
            await asyncio.sleep(due_s - loop.time())


def served() -> Served:
    """For ``repartee serve --model bench.serve_load.parts:served``."""
    from repartee.plugins import local

    ears = Transcribed(Conversing(LoadLLM()), LoadSTT())
    return Served.of(Spoken(ears, LoadTTS(DELTA_MS)), name="bench", vad=local.VAD())
