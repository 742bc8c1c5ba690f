"""Echo cancellation: the microphone without what the loudspeaker plays.

WebRTC's audio processing module (AEC3, with noise suppression and a high-pass filter), as the package livekit ships it
(extra ``talk``; nothing here connects to anything). It works on blocks of exactly 10 ms, and must be given what is
*really played*, in step with what is captured: both once for each block, the far end first.
"""

from __future__ import annotations

from typing import Any

from repartee.audio.frame import check_sample_rate
from repartee.errors import AudioFormatError, MissingDependencyError

__all__ = ["EchoCanceller", "load_audio_processing"]

_MAX_DELAY_MS = 500


class EchoCanceller:
    """Takes the agent's voice out of the microphone's signal. Not thread-safe: one thread calls it.

    Args:
        sample_rate: of both signals, in Hz: a multiple of 100.
        noise_suppression: also take steady noise out. Default: ``True``.
        high_pass: also take out what lies below speech. Default: ``True``.

    Raises:
        MissingDependencyError: the package livekit is not installed.
        AudioFormatError: a rate that has no whole block of 10 ms.
    """

    def __init__(self, sample_rate: int, *, noise_suppression: bool = True, high_pass: bool = True) -> None:
        check_sample_rate(sample_rate)
        if sample_rate % 100:
            raise AudioFormatError(
                f"echo cancellation needs a rate that is a multiple of 100 Hz, not {sample_rate} Hz"
            )
        self._frame, module = load_audio_processing(
            "echo cancellation", "with headphones it can be switched off instead"
        )
        self.sample_rate = sample_rate
        self.block_samples = sample_rate // 100
        self._apm: Any = module(
            echo_cancellation=True, noise_suppression=noise_suppression, high_pass_filter=high_pass
        )
        self._delay_ms: int | None = None

    def far(self, block: bytes) -> None:
        """The next 10 ms that are played (PCM16 mono)."""
        self._apm.process_reverse_stream(self._as_frame(block))

    def near(self, block: bytes, *, delay_ms: float) -> bytes:
        """The next 10 ms that were captured, cleaned.

        Args:
            block: PCM16 mono.
            delay_ms: from `far` of a block to `near` of its echo: output latency and input latency together.
        """
        whole = max(0, min(_MAX_DELAY_MS, round(delay_ms)))
        if (
            self._delay_ms is None or abs(whole - self._delay_ms) >= 2
        ):  # the module takes a jump for a change of the room
            self._delay_ms = whole
        self._apm.set_stream_delay_ms(self._delay_ms)
        frame = self._as_frame(block)
        self._apm.process_stream(frame)
        return bytes(frame.data)

    def _as_frame(self, block: bytes) -> Any:
        if len(block) != 2 * self.block_samples:
            raise AudioFormatError(
                f"a block of 10 ms has {2 * self.block_samples} bytes at {self.sample_rate} Hz, not {len(block)}"
            )
        return self._frame(bytearray(block), self.sample_rate, 1, self.block_samples)


def load_audio_processing(feature: str, detail: str) -> tuple[Any, Any]:
    """What makes frames, and the audio processing module, of the package livekit.

    Args:
        feature: what they are wanted for, in the error's words.
        detail: what to do without.

    Raises:
        MissingDependencyError: the package livekit is not installed.
    """
    try:
        from livekit import rtc
        from livekit.rtc.apm import AudioProcessingModule
    except ImportError as error:
        raise MissingDependencyError(feature, package="livekit", extra="talk", detail=detail) from error
    return rtc.AudioFrame, AudioProcessingModule
