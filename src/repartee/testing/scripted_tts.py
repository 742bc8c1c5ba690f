"""A `TTS` whose audio says its own words."""

from __future__ import annotations

import asyncio
import copy
import itertools
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal

from repartee.audio import AudioFrame
from repartee.errors import ConfigurationError
from repartee.models import TTS, SpeechChunk, TimedWord, TTSCapabilities
from repartee.testing import speech
from repartee.testing.faults import Fault, FaultPlan
from repartee.testing.virtual_time import elapse

__all__ = ["ScriptedTTS", "Utterance"]


@dataclass(slots=True)
class Utterance:
    """One synthesis of a `ScriptedTTS`, and what became of it."""

    text: str
    started_s: float
    """Loop time."""
    audio: bytes
    """All of its audio, PCM16 mono."""
    words: tuple[TimedWord, ...]
    outcome: Literal["running", "completed", "cancelled", "failed"] = "running"
    given_samples: int = 0
    """How much of the audio was taken."""
    voice: str = ""
    """The one of `ScriptedTTS.with_voice`; ``""``: the own."""


class ScriptedTTS(TTS):
    """Speaks at a steady pace, so that who hears its audio knows the words (`repartee.testing.speech`).

    Args:
        ms_per_char: how long each character takes, spaces not counted. Default: 60.
        ms_per_word: how long each word takes instead. Default: ``None``.
        lead_silence_ms: silence at the front of each synthesis. Default: 0.
        first_chunk_s: delay of the first chunk. Default: 0.05.
        chunk_s: delay of every other chunk. Default: 0.01.
        chunk_ms: length of a chunk. Default: 100.
        sample_rate: default: 24000.
        word_times: whether it tells when words begin. Default: ``True``.
        min_words: as in `TTSCapabilities`. Default: 1.
        voices: as in `TTSCapabilities`. All sound the same; `Utterance.voice` tells which it was. Default: one voice.
        faults: a call is a synthesis (from 1), a result a chunk.
    """

    def __init__(
        self,
        *,
        ms_per_char: float = 60.0,
        ms_per_word: float | None = None,
        lead_silence_ms: float = 0.0,
        first_chunk_s: float = 0.05,
        chunk_s: float = 0.01,
        chunk_ms: float = 100.0,
        sample_rate: int = 24_000,
        word_times: bool = True,
        min_words: int = 1,
        voices: Sequence[str] = (),
        faults: Sequence[Fault] = (),
    ) -> None:
        self.capabilities = TTSCapabilities(sample_rate, word_times, min_words, voices=tuple(voices))
        self.voice = ""
        self.ms_per_char = ms_per_char
        self.ms_per_word = ms_per_word
        self.lead_silence_ms = lead_silence_ms
        self.first_chunk_s = first_chunk_s
        self.chunk_s = chunk_s
        self.chunk_ms = chunk_ms
        self.plan = FaultPlan(faults, "tts")
        self.utterances: list[Utterance] = []
        """Every synthesis, in order."""

    def with_voice(self, name: str) -> ScriptedTTS:
        """Another voice, which adds to the same `utterances`.

        Raises:
            ConfigurationError: it was given no such voice.
        """
        if name not in self.capabilities.voices:
            known = ", ".join(self.capabilities.voices) or "none that has a name"
            raise ConfigurationError(f"this ScriptedTTS has no voice {name!r}; it has {known}")
        other = copy.copy(self)
        other.voice = name
        return other

    def duration_ms(self, text: str) -> float:
        """How long a text takes, with the silence before it."""
        words = text.split()
        return self.lead_silence_ms + sum(map(self._word_ms, words)) if words else 0.0

    def speak(self, text: str) -> tuple[bytes, tuple[TimedWord, ...]]:
        """The audio of a text (PCM16 mono) and its words: what `synthesize` gives, at once."""
        rate = self.capabilities.sample_rate
        found = list(re.finditer(r"\S+", text))
        if not found:
            return b"", ()
        ends_ms = list(itertools.accumulate(self._word_ms(match.group()) for match in found))
        audio = speech.encode(
            [match.group() for match in found], [round(end_ms * rate / 1000) for end_ms in ends_ms]
        )
        lead = bytes(2 * round(self.lead_silence_ms * rate / 1000))
        words = tuple(
            TimedWord(match.start(), match.end(), self.lead_silence_ms + start_ms)
            for match, start_ms in zip(found, [0.0, *ends_ms[:-1]], strict=True)
        )
        return lead + audio, words

    async def synthesize(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        audio, words = self.speak(text)
        now = asyncio.get_running_loop().time()
        utterance = Utterance(text, now, audio, words, voice=self.voice)
        self.utterances.append(utterance)
        call = len(self.utterances)
        try:
            for index, chunk in enumerate(self._chunks(audio, words)):
                await self.plan.meet(call, index)
                delay = self.chunk_s if index else self.first_chunk_s
                if delay:
                    await elapse(delay)
                utterance.given_samples += chunk.audio.samples
                yield chunk
            await self.plan.meet(call, -(-len(audio) // self.chunk_bytes))
            utterance.outcome = "completed"
        except (GeneratorExit, asyncio.CancelledError):
            utterance.outcome = "cancelled"
            raise
        except Exception:
            utterance.outcome = "failed"
            raise

    def _word_ms(self, word: str) -> float:
        return self.ms_per_char * len(word) if self.ms_per_word is None else self.ms_per_word

    @property
    def chunk_bytes(self) -> int:
        """Length of a full chunk."""
        return 2 * max(1, round(self.chunk_ms * self.capabilities.sample_rate / 1000))

    def _chunks(self, audio: bytes, words: Sequence[TimedWord]) -> list[SpeechChunk]:
        rate = self.capabilities.sample_rate
        size = self.chunk_bytes
        chunks = []
        for start in range(0, len(audio), size):
            frame = AudioFrame(audio[start : start + size], rate, position_samples=start // 2)
            start_ms, end_ms = frame.position_samples * 1000 / rate, frame.end_samples * 1000 / rate
            inside = tuple(word for word in words if start_ms <= word.start_ms < end_ms)
            chunks.append(SpeechChunk(frame, inside if self.capabilities.word_times else ()))
        return chunks
