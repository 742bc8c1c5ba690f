"""How a `ScriptedRealtimeServer` hears: by loudness when someone speaks, and by the code of scripted voices what.

Time is counted in audio, as at the service: a client that sends no silence never ends its turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from repartee.audio import g711
from repartee.testing.speech import SpeechDecoder, level_dbfs

__all__ = ["Ears", "Perceived"]

STEP_MS = 10
LOUD_DBFS = -42.0
"""Louder than this is speech: a scripted voice has -30 and more, a quiet room -60."""
ONSET_MS = 20
"""Loud for so long is speech; a click is shorter."""
KEPT_MS = 120_000
"""How much of a turn's audio is kept; the oldest is dropped."""


@dataclass(frozen=True, slots=True)
class Perceived:
    """One thing heard: speech ``started`` or ``stopped`` (``at_ms`` since the first audio), or a ``word``."""

    kind: Literal["started", "stopped", "word"]
    at_ms: int
    text: str = ""


class Ears:
    """Hears one format of audio.

    Args:
        format: ``pcm`` (PCM16), ``ulaw`` or ``alaw`` (G.711 at 8 kHz).
        sample_rate: of PCM, in Hz. Default: 24000.
    """

    def __init__(self, format: Literal["pcm", "ulaw", "alaw"] = "pcm", sample_rate: int = 24_000) -> None:
        self.format: Literal["pcm", "ulaw", "alaw"] = format
        self.sample_rate = sample_rate if format == "pcm" else g711.SAMPLE_RATE
        self.bytes_per_ms = self.sample_rate * (2 if format == "pcm" else 1) // 1000
        self._step_bytes = STEP_MS * self.bytes_per_ms
        self._decoder = SpeechDecoder(self.sample_rate)
        self._rest = b""
        self._loud_ms = 0
        self._quiet_ms = 0
        self.position_ms = 0
        """How much was heard."""
        self.speaking = False
        self.words: list[str] = []
        """Of the turn so far."""
        self.audio = bytearray()
        """Of the turn so far, as it came."""
        self.voiced_ms = 0
        """How much of the turn so far is loud."""
        self.told = 0
        """How many of the turn's words were passed on. Kept by who does so."""

    def feed(self, audio: bytes, *, silence_ms: int | None, prefix_ms: int = 300) -> Iterator[Perceived]:
        """Hear more, bit by bit as the iterator is asked: a turn that is taken meanwhile ends where it stopped.

        Args:
            audio: any length, in the format.
            silence_ms: how much silence ends speech. ``None``: turns are the client's affair; only words are told.
            prefix_ms: how much from before the speech belongs to it. Default: 300.
        """
        data, self._rest = self._rest + audio, b""
        whole = len(data) - len(data) % self._step_bytes
        for at in range(0, whole, self._step_bytes):
            yield from self._step(data[at : at + self._step_bytes], silence_ms, prefix_ms)
        self._rest = data[whole:]

    def _step(self, data: bytes, silence_ms: int | None, prefix_ms: int) -> list[Perceived]:
        self.position_ms += STEP_MS
        self.audio += data
        pcm = data if self.format == "pcm" else g711.decode(data, self.format)
        loud = level_dbfs(pcm) > LOUD_DBFS
        self._loud_ms = self._loud_ms + STEP_MS if loud else 0
        self.voiced_ms += STEP_MS if loud else 0
        self._quiet_ms = 0 if loud else self._quiet_ms + STEP_MS
        found: list[Perceived] = []
        if silence_ms is not None and not self.speaking and self._loud_ms >= ONSET_MS:
            self.speaking = True
            found.append(Perceived("started", max(0, self.position_ms - self._loud_ms - prefix_ms)))
        for word in self._decoder.feed(pcm):
            self.words.append(word.text)
            found.append(Perceived("word", self.position_ms, word.text))
        if silence_ms is not None and self.speaking and self._quiet_ms >= silence_ms:
            self.speaking = False
            found.append(Perceived("stopped", self.position_ms))
        idle = silence_ms is not None and not self.speaking and not found and not self._loud_ms
        kept = (prefix_ms if idle else KEPT_MS) * self.bytes_per_ms
        if len(self.audio) > kept:
            del self.audio[: len(self.audio) - kept]
        return found

    def take_turn(self) -> tuple[str, bytes]:
        """End the turn: its words as far as they can be told, and its audio. The next one begins."""
        last = self._decoder.finish()
        if last is not None:
            self.words.append(last.text)
        text, audio = " ".join(self.words), bytes(self.audio) + self._rest
        self.clear()
        return text, audio

    def clear(self) -> None:
        """Forget the turn."""
        self.words = []
        self.voiced_ms = self.told = 0
        self.audio.clear()
        self._rest = b""
        self.speaking = False
