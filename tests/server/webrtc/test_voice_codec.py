"""Opus and G.711, there and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from repartee.errors import UsageError
from repartee.server.webrtc.pacing import FRAME_BYTES, FRAME_SAMPLES, SAMPLE_RATE
from repartee.server.webrtc.voice_codec import Microphone, VoiceDecoder, VoiceEncoder

pytest.importorskip("av", reason="WebRTC is not installed: pip install 'repartee[webrtc]'")


def tone(seconds: float, hz: float = 440.0) -> npt.NDArray[np.int16]:
    at = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (8000 * np.sin(2 * np.pi * hz * at)).astype("<i2")


def frames(sound: npt.NDArray[np.int16]) -> list[bytes]:
    return [sound[i : i + FRAME_SAMPLES].tobytes() for i in range(0, len(sound), FRAME_SAMPLES)]


def strongest_hz(sound: npt.NDArray[np.int16]) -> float:
    spectrum = np.abs(np.fft.rfft(sound.astype(float)))
    return float(np.argmax(spectrum) * SAMPLE_RATE / len(sound))


@pytest.mark.parametrize("codec, ticks", [("opus", 960), ("pcmu", 160), ("pcma", 160)])
def test_a_tone_goes_there_and_back(codec: str, ticks: int) -> None:
    encoder, decoder = VoiceEncoder(codec), VoiceDecoder(codec)
    assert encoder.ticks == ticks
    sound = b""
    for frame in frames(tone(1.0)):
        pcm, lasted = decoder.decode(encoder.encode(frame))
        assert (len(pcm), lasted) == (FRAME_BYTES, ticks)
        sound += pcm
    heard = np.frombuffer(sound, "<i2")[SAMPLE_RATE // 2 :]
    assert strongest_hz(heard) == pytest.approx(440, abs=3)
    assert np.std(heard) == pytest.approx(8000 / np.sqrt(2), rel=0.15)


def test_silence_costs_a_few_bytes_and_no_encoding() -> None:
    encoder, decoder = VoiceEncoder("opus"), VoiceDecoder("opus")
    for frame in frames(tone(0.2)):
        decoder.decode(encoder.encode(frame))
    packets = [encoder.encode(bytes(FRAME_BYTES), silent=True) for _ in range(50)]
    assert packets[-1] is packets[-2]
    assert len(packets[-1]) < 10
    heard = b"".join(decoder.decode(packet)[0] for packet in packets)
    assert np.abs(np.frombuffer(heard, "<i2")[SAMPLE_RATE // 4 :].astype(int)).max() < 20
    sound = b"".join(decoder.decode(encoder.encode(frame))[0] for frame in frames(tone(0.5)))
    assert strongest_hz(np.frombuffer(sound, "<i2")[SAMPLE_RATE // 4 :]) == pytest.approx(440, abs=5)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(UsageError, match="'g722' is no codec of a call; right are opus, pcmu, pcma"):
        VoiceEncoder("g722")
    with pytest.raises(UsageError, match="right are"):
        VoiceDecoder("")


@pytest.mark.parametrize("payload", [b"", b"\xff" * 40, b"\x00", bytes(range(200))])
def test_a_damaged_packet_is_some_sound_or_silence(payload: bytes) -> None:
    pcm, lasted = VoiceDecoder("opus").decode(payload)
    assert len(pcm) >= FRAME_BYTES // 8
    assert lasted >= 120


class Line:
    """A microphone at the far end of a wire."""

    def __init__(self, codec: str = "opus") -> None:
        self.encoder = VoiceEncoder(codec)
        self.microphone = Microphone({111: codec, 0: "pcmu"})
        self.sent = 0

    def send(self, frame: bytes = bytes(FRAME_BYTES), *, lost: bool = False, kind: int = 111) -> bytes:
        packet, at = self.encoder.encode(frame), self.sent
        self.sent += 1
        if lost:
            return b""
        return self.microphone.push(7, at, at * self.encoder.ticks, kind, packet, now=at * 0.02)


def test_a_stream_comes_out_as_it_went_in() -> None:
    line = Line()
    heard = b"".join(line.send(frame) for frame in frames(tone(1.0)))
    assert len(heard) == 2 * SAMPLE_RATE
    assert strongest_hz(np.frombuffer(heard, "<i2")[SAMPLE_RATE // 2 :]) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("codec, kind", [("opus", 111), ("pcmu", 0)])
def test_lost_sound_leaves_silence_of_the_same_length(codec: str, kind: int) -> None:
    line = Line(codec)
    heard = b"".join(line.send(lost=number in (10, 11, 20), kind=kind) for number in range(40))
    assert len(heard) == 40 * FRAME_BYTES
    assert line.microphone.buffer.lost == 3


def test_after_a_long_pause_time_goes_on() -> None:
    microphone, encoder = Microphone({111: "opus"}), VoiceEncoder("opus")
    packet = encoder.encode(bytes(FRAME_BYTES))
    microphone.push(7, 0, 0, 111, packet, now=0.0)
    assert len(microphone.push(7, 1, 25 * 960, 111, packet, now=0.5)) == 25 * FRAME_BYTES
    assert len(microphone.push(7, 2, 525 * 960, 111, packet, now=10.5)) == FRAME_BYTES


def test_packets_of_unknown_kinds_say_nothing() -> None:
    line = Line()
    line.send()
    assert line.send(kind=126) == b""  # telephone-event
    assert len(line.send()) == 2 * FRAME_BYTES  # its time is not lost
