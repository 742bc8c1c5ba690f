"""A call's loudspeaker, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from repartee.audio import AudioFrame
from repartee.clock import Clock
from repartee.errors import AudioFormatError
from repartee.server.webrtc.loudspeaker import Loudspeaker
from repartee.server.webrtc.voice_codec import VoiceDecoder
from repartee.testing import sleep_until, virtual_time


class Owner:
    """Notes what it is told, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str, str, int]] = []

    def _note(self, what: str, name: str, ms: int = 0) -> None:
        self.told.append((round(asyncio.get_running_loop().time(), 3), what, name, ms))

    def playback_started(self, response_id: str) -> None:
        self._note("started", response_id)

    def playback_stopped(self, response_id: str) -> None:
        self._note("stopped", response_id)

    def heard(self, item_id: str, ms: int) -> None:
        self._note("heard", item_id, ms)


def loudspeaker(owner: Owner, codec: str = "pcmu") -> Loudspeaker:
    made = Loudspeaker(Clock(asyncio.get_running_loop().time))
    made.open(codec, owner)
    return made


def sound(ms: int, rate: int = 24000) -> AudioFrame:
    return AudioFrame((3000).to_bytes(2, "little") * (rate * ms // 1000), rate)


@virtual_time
async def test_a_packet_every_20_ms_with_its_rtp_time() -> None:
    made = loudspeaker(Owner())
    loop = asyncio.get_running_loop()
    for index in range(100):
        packet = await made.packet()
        assert loop.time() == pytest.approx(index * 0.02)
        assert packet.timestamp == index * 160
        assert packet.payload == b"\xff" * 160
    assert made.statistics == {"skipped_frames": 0, "underruns": 0, "refused_bytes": 0}


@virtual_time
async def test_what_is_heard_is_told_as_it_is() -> None:
    owner = Owner()
    made = loudspeaker(owner)
    made.write("r", "a", sound(150))
    made.write("r", "b", sound(50))
    made.end("r")
    for _ in range(14):
        await made.packet()
    assert owner.told == [
        (0.0, "started", "r", 0),
        (0.08, "heard", "a", 100),
        (0.14, "heard", "a", 150),
        (0.2, "heard", "b", 50),
        (0.2, "stopped", "r", 0),
    ]


@virtual_time
async def test_a_cut_says_what_was_heard() -> None:
    made = loudspeaker(Owner())
    assert made.clear() is None
    made.write("r", "i", sound(1000))
    for _ in range(17):
        await made.packet()
    assert made.clear() == ("r", "i", 340)
    packets = [await made.packet() for _ in range(2)]
    faded, silent = (VoiceDecoder("pcmu").decode(packet.payload)[0] for packet in packets)
    assert any(faded[:200])
    assert not any(silent[100:])
    assert made.estimated


@virtual_time
async def test_a_busy_loop_skips_what_nobody_would_hear_in_time() -> None:
    made = loudspeaker(Owner())
    await made.packet()
    await sleep_until(1.0)
    timestamps = [(await made.packet()).timestamp for _ in range(3)]
    assert timestamps == [160, 50 * 160, 51 * 160]
    assert made.statistics["skipped_frames"] == 48


@virtual_time
async def test_only_what_can_be_played_is_taken() -> None:
    made = loudspeaker(Owner())
    with pytest.raises(AudioFormatError, match=r"a call plays mono at 24000 Hz, not 1 channel.* at 16000 Hz"):
        made.write("r", "i", sound(20, 16000))
