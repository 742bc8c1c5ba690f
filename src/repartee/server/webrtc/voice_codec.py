"""The codecs of a call: Opus, and G.711 for those who offer nothing else, to and from PCM16 at 24 kHz.

A packet holds 20 ms. Opus is encoded at 24 kHz mono (RFC 7587: its RTP clock is 48000 Hz whatever the sampling rate),
decoded at 48 kHz and halved. A call is silent most of the time, so silence is encoded only until the encoder has
settled; from then on its last packet of a few bytes is sent again.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, Literal

from repartee.audio import AudioFrame, Resampler, g711
from repartee.errors import MissingDependencyError, UsageError
from repartee.server.webrtc.jitter import JitterBuffer, VoicePacket
from repartee.server.webrtc.pacing import FRAME_SAMPLES, SAMPLE_RATE

__all__ = ["CLOCK_RATES", "Microphone", "VoiceDecoder", "VoiceEncoder"]

CLOCK_RATES: Final = {"opus": 48000, "pcmu": 8000, "pcma": 8000}
"""The RTP clock of each codec that is spoken here, by its name in lower case."""
LAWS: Final[dict[str, g711.Law]] = {"pcmu": "ulaw", "pcma": "alaw"}
OPUS_BITRATE: Final = 48_000
"""Bits a second of speech, mono; silence is a fraction of it."""
OPUS_EFFORT: Final = 5
"""Of 10. With ``lowdelay`` (the MDCT layer only, RFC 6716, 2.1.1), which at this bitrate is as good for a voice, a
frame costs a third of the CPU of ``voip``, and its sound is 4 ms earlier."""
SETTLING_FRAMES: Final = 20
GAP_MAX_S: Final = 1.0
"""Lost sound is filled in with silence up to here; after a longer pause (a muted microphone) time just goes on."""


class VoiceEncoder:
    """PCM to packets.

    Args:
        codec: ``opus``, ``pcmu`` or ``pcma``.
    """

    def __init__(self, codec: str) -> None:
        self.codec = _known(codec)
        self.ticks = CLOCK_RATES[codec] // 50
        """Of the RTP clock in a frame."""
        self._silence: bytes | None = None
        self._silent_frames = 0
        self._resampler: Resampler | None = None
        self._context: Any = None
        if codec == "opus":
            self._context = _opus("w", SAMPLE_RATE)
            self._context.bit_rate = OPUS_BITRATE
            self._context.time_base = Fraction(1, SAMPLE_RATE)
            self._context.options = {"application": "lowdelay", "compression_level": str(OPUS_EFFORT)}
        else:
            self._resampler = Resampler(SAMPLE_RATE, 8000)

    def encode(self, pcm: bytes, *, silent: bool = False) -> bytes:
        """One frame's packet.

        Args:
            pcm: `FRAME_BYTES` of PCM16 at 24 kHz.
            silent: it is zeros.
        """
        self._silent_frames = self._silent_frames + 1 if silent else 0
        if self._silent_frames > SETTLING_FRAMES and self._silence is not None:
            return self._silence
        packet = self._opus(pcm) if self._resampler is None else self._g711(pcm, self._resampler)
        self._silence = packet
        return packet

    def _opus(self, pcm: bytes) -> bytes:
        import av

        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
        frame.planes[0].update(pcm)
        frame.sample_rate = SAMPLE_RATE
        packets = self._context.encode(frame)
        assert len(packets) == 1, "a frame of 20 ms makes one packet"
        return bytes(packets[0])

    def _g711(self, pcm: bytes, resampler: Resampler) -> bytes:
        return g711.encode(resampler.push(AudioFrame(pcm, SAMPLE_RATE)).data, LAWS[self.codec])


class VoiceDecoder:
    """Packets to PCM.

    Args:
        codec: ``opus``, ``pcmu`` or ``pcma``.
    """

    def __init__(self, codec: str) -> None:
        self.codec = _known(codec)
        self.clock_rate = CLOCK_RATES[codec]
        self._context = _opus("r", 48000) if codec == "opus" else None
        self._resampler = Resampler(self.clock_rate, SAMPLE_RATE)

    def decode(self, payload: bytes) -> tuple[bytes, int]:
        """One packet's sound.

        Args:
            payload: as it came.

        Returns:
            PCM16 at 24 kHz, and how many ticks of the RTP clock it lasts. What can't be decoded is 20 ms of silence.
        """
        pcm = self._opus(payload) if self._context is not None else g711.decode(payload, LAWS[self.codec])
        return self._resampler.push(AudioFrame(pcm, self.clock_rate)).data, len(pcm) // 2

    def _opus(self, payload: bytes) -> bytes:
        import av

        assert self._context is not None
        try:
            frames = self._context.decode(av.Packet(payload)) if payload else []
        except av.FFmpegError:  # damaged; the next one may be whole
            frames = []
        pcm = b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)
        return pcm or bytes(2 * self.clock_rate // 50)


class Microphone:
    """What a caller's microphone says: RTP packets as they come, to one stream of PCM16 at 24 kHz.

    Args:
        codecs: what each negotiated payload type stands for.
    """

    def __init__(self, codecs: dict[int, str]) -> None:
        self._codecs = codecs
        self._decoders: dict[str, VoiceDecoder] = {}  # one for each codec, of which there are three
        self._expected: int | None = None
        self.buffer = JitterBuffer()
        """Puts the packets in order; counts those that were lost."""

    def push(
        self, source: int, sequence: int, timestamp: int, payload_type: int, payload: bytes, *, now: float
    ) -> bytes:
        """Take a packet in.

        Args:
            source: its SSRC.
            sequence: its sequence number.
            timestamp: its RTP timestamp.
            payload_type: of its codec; an unknown one's packets (comfort noise, DTMF) are silence.
            payload: its sound.
            now: when it came, in seconds.

        Returns:
            what can be heard of it now: PCM16 at 24 kHz, possibly empty.
        """
        ready = self.buffer.push(source, sequence, timestamp, payload_type, payload, now=now)
        return b"".join(self._sound(packet) for packet in ready)

    def _sound(self, packet: VoicePacket) -> bytes:
        name = self._codecs.get(packet.payload_type)
        if name is None:
            return b""
        decoder = self._decoders.get(name)
        if decoder is None:
            decoder = self._decoders[name] = VoiceDecoder(name)
        gap = 0
        if self._expected is not None and not packet.fresh:
            gap = packet.timestamp - self._expected
        pcm, ticks = decoder.decode(packet.payload)
        self._expected = packet.timestamp + ticks
        if 0 < gap <= GAP_MAX_S * decoder.clock_rate:
            return bytes(2 * (gap * SAMPLE_RATE // decoder.clock_rate)) + pcm
        return pcm


def _known(codec: str) -> str:
    if codec not in CLOCK_RATES:
        raise UsageError(f"{codec!r} is no codec of a call; right are {', '.join(CLOCK_RATES)}")
    return codec


def _opus(mode: Literal["r", "w"], rate: int) -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError("WebRTC", package="aiortc", extra="webrtc") from error
    context: Any = av.CodecContext.create("libopus", mode)
    context.format = "s16"
    context.layout = "mono"
    context.sample_rate = rate
    return context
