"""Noise suppression: a voice without the steady noise around it.

WebRTC's audio processing module, as in `repartee.transports.echo`, without a far end. It works on blocks of exactly
10 ms, so up to that much is held back between two pushes.
"""

from __future__ import annotations

from typing import Any, Literal

from repartee.audio.frame import check_sample_rate
from repartee.errors import AudioFormatError
from repartee.transports.echo import load_audio_processing

__all__ = ["NoiseField", "NoiseSuppressor"]

NoiseField = Literal["near_field", "far_field"]
"""Where the microphone is: before the mouth (headset, telephone), or somewhere in the room (laptop, conference)."""


class NoiseSuppressor:
    """Takes steady noise, and what lies below speech, out of one microphone's signal.

    Args:
        sample_rate: in Hz: a multiple of 100.
        field: ``"far_field"`` also brings a distant voice to an even level. Default: ``"near_field"``.

    Raises:
        MissingDependencyError: the package livekit is not installed.
        AudioFormatError: a rate that has no whole block of 10 ms.
    """

    def __init__(self, sample_rate: int, *, field: NoiseField = "near_field") -> None:
        check_sample_rate(sample_rate)
        if sample_rate % 100:
            raise AudioFormatError(
                f"noise suppression needs a rate that is a multiple of 100 Hz, not {sample_rate} Hz"
            )
        self._frame, module = load_audio_processing(
            "noise suppression", "without it sound goes on as it comes"
        )
        self.sample_rate = sample_rate
        self.field = field
        self._block = sample_rate // 100 * 2
        self._rest = b""
        self._apm: Any = module(
            noise_suppression=True, high_pass_filter=True, auto_gain_control=field == "far_field"
        )

    def push(self, pcm: bytes) -> bytes:
        """More PCM16 (mono): what is cleaned of it and what was held back, in whole blocks of 10 ms."""
        data, size = self._rest + pcm, self._block
        whole = len(data) // size * size
        self._rest = data[whole:]
        cleaned = []
        for at in range(0, whole, size):
            frame = self._frame(bytearray(data[at : at + size]), self.sample_rate, 1, size // 2)
            self._apm.process_stream(frame)
            cleaned.append(bytes(frame.data))
        return b"".join(cleaned)

    def flush(self) -> bytes:
        """What is held back, as it came."""
        rest, self._rest = self._rest, b""
        return rest
