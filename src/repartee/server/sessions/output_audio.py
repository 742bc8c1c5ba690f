"""The audio of one item on its way out: from the model's rate to what the client (or the server's playout) takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from repartee.audio import AudioFrame, Resampler
from repartee.audio.g711 import encode
from repartee.protocol.config import PcmaAudio, PcmuAudio

if TYPE_CHECKING:
    from repartee.audio.time_stretch import TimeStretch

__all__ = ["ItemAudio", "law_of", "rate_of"]

PLAYOUT_RATE = 24_000
"""Of what the server plays itself."""


def law_of(format: object) -> Literal["ulaw", "alaw"] | None:
    """Which G.711 a session's format is; ``None``: it is PCM."""
    if isinstance(format, PcmuAudio):
        return "ulaw"
    return "alaw" if isinstance(format, PcmaAudio) else None


def rate_of(format: object) -> int:
    """Samples a second of a session's format."""
    return 24_000 if law_of(format) is None else 8000


class _Converter:
    """A resampler without its lead-in: what comes out begins where what goes in does."""

    __slots__ = ("_end", "_resampler", "_skip")

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self._resampler = Resampler(source_rate, target_rate)
        self._skip = self._resampler.delay_samples
        self._end = 0

    def push(self, frame: AudioFrame) -> AudioFrame:
        return self._cut(self._resampler.push(frame))

    def flush(self) -> AudioFrame:
        return self._cut(self._resampler.flush())

    def _cut(self, made: AudioFrame) -> AudioFrame:
        skipped = min(self._skip, made.samples)
        self._skip -= skipped
        return made.slice(skipped) if skipped else made


class ItemAudio:
    """The audio of one item.

    Args:
        source_rate: of the model's audio, in Hz.
        format: the session's output format.
        speed: 0.25 to 1.5; the pitch stays.
        played: whether the server plays it too, at 24 kHz.
    """

    __slots__ = (
        "_law",
        "_played",
        "_stretch",
        "_to_pcm",
        "_to_wire",
        "position_samples",
        "rate",
        "source_rate",
        "source_samples",
        "speed",
    )

    def __init__(self, source_rate: int, format: object, *, speed: float = 1.0, played: bool = False) -> None:
        self._law = law_of(format)
        self.source_rate = source_rate
        self._played = played
        self.speed = speed
        self.rate = PLAYOUT_RATE if played else rate_of(format)
        """Of the PCM that `push` gives."""
        self._stretch: TimeStretch | None = None
        if speed != 1.0:
            from repartee.audio.time_stretch import TimeStretch

            self._stretch = TimeStretch(source_rate, speed)
        self._to_pcm = _Converter(source_rate, self.rate) if source_rate != self.rate else None
        self._to_wire = _Converter(self.rate, rate_of(format)) if self.rate != rate_of(format) else None
        self.source_samples = 0
        """How much of the model's audio went in."""
        self.position_samples = 0
        """How much PCM came out."""

    def push(self, frame: AudioFrame) -> tuple[bytes, AudioFrame]:
        """The next audio of the model, mono: as the client takes it, and as PCM at `rate` (from the item's start)."""
        self.source_samples += len(frame.data) // 2
        if self._stretch is not None:
            frame = self._stretch.push(frame)
        return self._convert(frame if self._to_pcm is None else self._to_pcm.push(frame))

    def flush(self) -> tuple[bytes, AudioFrame]:
        """What is still on its way, at the item's end."""
        parts: list[bytes] = []
        if self._stretch is not None:
            rest = self._stretch.flush()
            parts.append(rest.data if self._to_pcm is None else self._to_pcm.push(rest).data)
        if self._to_pcm is not None:
            parts.append(self._to_pcm.flush().data)
        wire, pcm = self._convert(AudioFrame(b"".join(parts), self.rate))
        if self._to_wire is not None:
            wire += self._encoded(self._to_wire.flush().data)
        return wire, pcm

    def _convert(self, pcm: AudioFrame) -> tuple[bytes, AudioFrame]:
        if pcm.position_samples != self.position_samples and self._played:
            pcm = pcm.at(self.position_samples)
        self.position_samples += len(pcm.data) // 2
        wire = pcm if self._to_wire is None else self._to_wire.push(pcm)
        return self._encoded(wire.data), pcm

    def _encoded(self, data: bytes) -> bytes:
        return data if self._law is None else encode(data, self._law)
