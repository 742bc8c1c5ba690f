"""The client's audio formats: what is in an ``input_audio_buffer.append``, as PCM16 and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from repartee.audio import AudioFrame, Resampler, g711
from repartee.protocol.config import PcmaAudio, PcmAudio, PcmuAudio
from repartee.protocol.model import given

__all__ = ["PCM_24K", "WireFormat", "transcode"]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """How audio is encoded on the wire. Always mono."""

    rate: int = 24_000
    law: g711.Law | None = None
    """``None``: PCM16."""

    @classmethod
    def of(cls, format: object) -> WireFormat:
        """That of a session's `AudioFormat`; PCM16 at 24 kHz where it gives none."""
        if isinstance(format, PcmuAudio):
            return cls(g711.SAMPLE_RATE, "ulaw")
        if isinstance(format, PcmaAudio):
            return cls(g711.SAMPLE_RATE, "alaw")
        return cls(given(format.rate, 24_000)) if isinstance(format, PcmAudio) else PCM_24K

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample."""
        return 2 if self.law is None else 1

    def decode(self, data: bytes) -> bytes:
        """PCM16 at `rate`."""
        return data if self.law is None else g711.decode(data, self.law)

    def encode(self, pcm: bytes) -> bytes:
        """From PCM16 at `rate`."""
        return pcm if self.law is None else g711.encode(pcm, self.law)


PCM_24K: Final = WireFormat()


def transcode(pcm: bytes, source_rate: int, target_rate: int) -> bytes:
    """A stretch of PCM16 at another rate, as long as it was.

    Args:
        pcm: mono.
        source_rate: of ``pcm``.
        target_rate: of the result.
    """
    if source_rate == target_rate or not pcm:
        return pcm
    resampler = Resampler(source_rate, target_rate)
    made = resampler.push(AudioFrame(pcm, source_rate)).data
    skipped = 2 * resampler.delay_samples
    return (made + resampler.flush().data)[skipped:]
