"""How a `ScriptedRealtimeServer` speaks: each word with its own sound, in chunks of audio and transcript."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from repartee.audio import g711
from repartee.testing import speech

__all__ = ["Chunk", "Voice", "coded_words", "speak", "tones"]

Voice = Callable[[list[str], list[int], int], bytes]
"""Words, the sample at which each ends, and the sample rate → PCM16 mono."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of speech: the words that begin in it, and its audio in the session's format."""

    transcript: str
    audio: bytes


def coded_words(words: list[str], ends: list[int], sample_rate: int) -> bytes:
    """A voice whose audio says its own words (`repartee.testing.speech`), so that a test can read what was heard."""
    return speech.encode(words, ends)


def tones(words: list[str], ends: list[int], sample_rate: int) -> bytes:
    """A voice for human ears: a soft tone a word, up the pentatonic scale with the word's length."""
    import numpy as np

    pieces = []
    start = 0
    for word, end in zip(words, ends, strict=True):
        at = np.arange(end - start)
        steps = len(word) % 10
        hertz = 220.0 * 2.0 ** ((steps // 5) + (0, 2, 4, 7, 9)[steps % 5] / 12)
        fade = np.minimum(1.0, np.minimum(at, at[::-1]) / (0.01 * sample_rate))
        pieces.append(6000.0 * fade * np.sin(2 * np.pi * hertz * at / sample_rate))
        start = end
    return np.concatenate(pieces).astype("<i2").tobytes() if pieces else b""


def speak(
    text: str,
    *,
    voice: Voice = coded_words,
    format: Literal["pcm", "ulaw", "alaw"] = "pcm",
    sample_rate: int = 24_000,
    ms_per_word: int = 250,
    chunk_ms: int = 100,
) -> list[Chunk]:
    """Say something.

    Args:
        text: what.
        voice: how it sounds. Default: `coded_words`.
        format: of the audio; G.711 is 8 kHz. Default: PCM16.
        sample_rate: of PCM. Default: 24000.
        ms_per_word: pace. A word of many letters takes longer: 10 ms a byte at least. Default: 250.
        chunk_ms: length of a chunk; the last may be shorter. Default: 100.

    Returns:
        Chunks in order. The transcripts together are the text; a word's is in the chunk in which it begins.
    """
    rate = sample_rate if format == "pcm" else g711.SAMPLE_RATE
    words = text.split()
    ends: list[int] = []
    for word in words:
        length_ms = max(ms_per_word, 10 * len(word.encode()))
        ends.append((ends[-1] if ends else 0) + length_ms * rate // 1000)
    pcm = voice(words, ends, rate)
    size = 2 * chunk_ms * rate // 1000
    spelled = [match.group() for match in re.finditer(r"\s*\S+(?:\s+$)?", text)]
    begins = [0, *ends[:-1]]
    chunks = []
    for at in range(0, len(pcm), size):
        new = [s for s, begin in zip(spelled, begins, strict=True) if at <= 2 * begin < at + size]
        piece = pcm[at : at + size]
        chunks.append(Chunk("".join(new), piece if format == "pcm" else g711.encode(piece, format)))
    return chunks
