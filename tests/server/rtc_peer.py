"""A browser in miniature: an aiortc client on the loopback, with a microphone that says what it is given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from fractions import Fraction
from types import TracebackType
from typing import Any

import aiortc
import av
import numpy as np
import numpy.typing as npt

from repartee.audio import AudioFrame
from repartee.clock import Clock
from repartee.server.webrtc.loudspeaker import Loudspeaker
from repartee.server.webrtc.peer_parts import gather_on

LOOPBACK = "127.0.0.1"
PATIENCE_S = 20.0
"""Until a test that waits for the far end gives up."""


class _Deaf:
    """Nobody who is told what is heard."""

    def playback_started(self, response_id: str) -> None: ...

    def playback_stopped(self, response_id: str) -> None: ...

    def heard(self, item_id: str, ms: int) -> None: ...


class _Microphone(aiortc.MediaStreamTrack):
    kind = "audio"

    def __init__(self, codec: str) -> None:
        super().__init__()
        self.voice = Loudspeaker(Clock(asyncio.get_running_loop().time))
        self.voice.open(codec, _Deaf())
        self._base = Fraction(1, 48000 if codec == "opus" else 8000)

    async def recv(self) -> av.Packet[Any]:
        payload, timestamp = await self.voice.packet()
        packet = av.Packet(payload)
        packet.pts = timestamp
        packet.time_base = self._base
        return packet


class RtcPeer:
    """One client.

    Args:
        codec: that it prefers.
        channel: whether it has a data channel.
        direction: of its audio.
    """

    def __init__(self, *, codec: str = "opus", channel: bool = True, direction: str = "sendrecv") -> None:
        self.connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration([]))
        self._microphone = _Microphone(codec)
        transceiver = self.connection.addTransceiver(self._microphone, direction=direction)
        able = aiortc.RTCRtpSender.getCapabilities("audio").codecs
        transceiver.setCodecPreferences(sorted(able, key=lambda each: each.name.lower() != codec))
        self.events: list[dict[str, Any]] = []
        self.received: list[bytes] = []
        """Of the answer's track: PCM16 mono at 24 kHz."""
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.connection.on("track", self._on_track)
        self.channel: Any = None
        self.channel_open = asyncio.Event()
        if channel:
            self.channel = self.connection.createDataChannel("oai-events")
            self.channel.on("message", self._on_message)
            self.channel.on("open", self.channel_open.set)

    async def __aenter__(self) -> RtcPeer:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def offer(self) -> str:
        """The offer, with the candidates of the loopback."""
        gather_on(self.connection, [LOOPBACK])
        await self.connection.setLocalDescription(await self.connection.createOffer())
        sdp: str = self.connection.localDescription.sdp
        return sdp

    async def take(self, answer: str) -> None:
        """The answer."""
        await self.connection.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))

    async def connect(self, answer: Callable[[str], Awaitable[str]]) -> None:
        """Offer, take the answer, and wait for the data channel."""
        await self.take(await answer(await self.offer()))
        async with asyncio.timeout(PATIENCE_S):
            await self.channel_open.wait()

    async def close(self) -> None:
        """Hang up."""
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def vanish(self) -> None:
        """Lose the network, without a word."""
        ice: Any = self.connection.getTransceivers()[0].receiver.transport.transport
        for protocol in ice._connection._protocols:
            protocol.transport.abort()

    # -- events ------------------------------------------------------------------------------------------------

    def send(self, **event: Any) -> None:
        """Send an event."""
        self.channel.send(json.dumps(event))

    def _on_message(self, message: str) -> None:
        self.events.append(json.loads(message))
        self._changed.set()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of a type so far."""
        return [event for event in self.events if event["type"] == kind]

    async def event(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Wait for the so-manieth event of a type."""
        await self.until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds that events or audio bring about."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    # -- sound -------------------------------------------------------------------------------------------------

    def say(self, pcm: bytes) -> None:
        """Speak: PCM16 at 24 kHz. Silence goes out before and after."""
        self._microphone.voice.write("said", "said", AudioFrame(pcm, 24000))
        self._microphone.voice.end("said")

    def _on_track(self, track: aiortc.MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: Any) -> None:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=24000)
        while True:
            try:
                frame = await track.recv()
            except aiortc.mediastreams.MediaStreamError:
                return
            for made in resampler.resample(frame):
                self.received.append(bytes(made.planes[0])[: 2 * made.samples])
            self._changed.set()

    @property
    def heard(self) -> npt.NDArray[np.int16]:
        """All sound so far."""
        return np.frombuffer(b"".join(self.received), "<i2")

    @property
    def heard_s(self) -> float:
        """Its length."""
        return sum(map(len, self.received)) / 48000

    async def listen(self, seconds: float) -> npt.NDArray[np.int16]:
        """Hear so much more, and give that."""
        start = sum(map(len, self.received)) // 2
        await self.until(lambda: sum(map(len, self.received)) // 2 >= start + int(seconds * 24000))
        return self.heard[start:]


def loud_s(sound: npt.NDArray[np.int16], level: float = 300.0) -> float:
    """How much of a sound is loud, in seconds: 10 ms pieces by their root mean square."""
    pieces = sound[: len(sound) // 240 * 240].reshape(-1, 240).astype(float)
    return float(np.sum(np.sqrt(np.mean(pieces**2, axis=1)) > level)) * 0.01
