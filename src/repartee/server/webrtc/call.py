"""A session over WebRTC: one peer connection with a microphone, a loudspeaker and a data channel for the events.

Theory of operation. The client POSTs an offer; `WebRtcCall.answer` opens a session, negotiates and returns the answer.
From then on one task owns the call. It ends when the client hangs up (closes the peer connection or the data channel),
when the session ends (expired, idle, failed: the ``error`` goes out first), when nothing connects within
`ServerOptions.handshake_s`, when nothing has been heard of the client for 15 s, or when `hangup` is called; and
whatever ended it, everything it held is released.

*In*: the microphone's RTP packets go straight from the receiver to our own `JitterBuffer` and decoder. aiortc's would
hold five packets (100 ms) and stay 300 ms behind after a lost one, which is right for playing, not for listening; it
would also spend a thread a call. *Out*: `Loudspeaker` makes an encoded packet every 20 ms, and aiortc only sends it.

What is taken from aiortc beyond its documented interface is in `peer_parts`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final, Protocol

from repartee.clock import Clock
from repartee.compose.tasks import TaskOwner
from repartee.errors import ConfigurationError, MissingDependencyError, RemoteProtocolError, StateError
from repartee.protocol.beta import BetaDialect
from repartee.server.access.admission import EventRate
from repartee.server.faults import HANDSHAKE_TIMEOUT, TOO_FAST, filled
from repartee.server.ids import random_id
from repartee.server.options import ServerOptions
from repartee.server.sessions.served_session import OutputSink, ServedSession
from repartee.server.webrtc.channel import CallListener
from repartee.server.webrtc.ice import ice_server, port_range, with_public_addresses
from repartee.server.webrtc.loudspeaker import Loudspeaker
from repartee.server.webrtc.offer import EVENTS_CHANNEL, Offer
from repartee.server.webrtc.peer_parts import gather_on, listen_to, overfull, undelivered
from repartee.server.webrtc.voice_codec import CLOCK_RATES, Microphone

try:
    import aiortc
    import av
    from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
    from aiortc.sdp import SessionDescription
except ImportError as error:
    raise MissingDependencyError("WebRTC", package="aiortc", extra="webrtc") from error

__all__ = ["OpenedSession", "WebRtcCall"]

log = logging.getLogger("repartee.server")

WATCH_S: Final = 2.5
SILENT_MAX_S: Final = 15.0
"""Without any packet of a client's. Even one with its microphone off reports on what it hears every 5 s or so (RFC
3550, 6.2), so it is gone; ICE itself would notice after 30 s (RFC 7675)."""
FLUSH_S: Final = 1.0
"""What the last events may take to leave before the connection is closed."""
FLUSH_CHECK_S: Final = 0.01
CLOSE_S: Final = 5.0
"""What closing the peer connection may take."""
PACKETS_PER_S: Final = 250
"""Packets of a microphone that are taken; the shortest usual ones (10 ms) come 100 times a second. Others are lost."""
PACKETS_BURST: Final = 500
NEGOTIATION_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    InternalError,
    InvalidAccessError,
    InvalidStateError,
    OperationError,
)
"""What aiortc raises for an offer that it can't read or answer."""


class OpenedSession(Protocol):
    """A session that was opened for a call: `RunningSession`."""

    session: ServedSession

    def touch(self) -> None:
        """Something came from the client, or audio went to it."""

    async def aclose(self) -> None:
        """End it. Idempotent."""


class WebRtcCall:
    """One call.

    Args:
        offer: what the client offers (`read_offer`).
        open_session: makes the session; not started yet. Its errors are `answer`'s.
        options: limits, and where the server stands (``ice_hosts``, ``ice_ports``, ``public_ips``,
            ``ice_servers``).
        observe: whether the client gets ``repartee.*`` events. Default: no.
        dialect: what the client speaks. Default: GA.
        on_end: called once, when the call is over and everything is released. Default: nobody.
    """

    def __init__(
        self,
        offer: Offer,
        open_session: Callable[[OutputSink], OpenedSession],
        *,
        options: ServerOptions,
        observe: bool = False,
        dialect: BetaDialect | None = None,
        on_end: Callable[[WebRtcCall], None] | None = None,
    ) -> None:
        self.id = random_id("rtc")
        self.ended = asyncio.Event()
        self._offer = offer
        self._open_session = open_session
        self._options = options
        self._dialect = dialect
        self._on_end = on_end
        self._clock = Clock(asyncio.get_running_loop().time)
        self._opened: OpenedSession | None = None
        self._over = asyncio.Event()
        self._ready = asyncio.Event()
        self._reason = ""
        self._tasks = TaskOwner(self._crashed)
        self._rate = EventRate(options.events_per_s, options.events_burst)
        self._packet_rate = EventRate(PACKETS_PER_S, PACKETS_BURST)
        self.loudspeaker = Loudspeaker(self._clock)
        """What plays the session's audio."""
        self._listener = CallListener(
            message_bytes_max=offer.message_bytes_max,
            outgoing_bytes=options.outgoing_bytes,
            on_close=self._finish,
            observe=observe,
        )
        self._channel: aiortc.RTCDataChannel | None = None
        servers = [ice_server(text) for text in options.ice_servers]
        self._peer = aiortc.RTCPeerConnection(
            aiortc.RTCConfiguration(  # an empty list, or aiortc would ask a public STUN server
                [aiortc.RTCIceServer(each.url, each.username, each.password) for each in servers]
            )
        )
        self._microphone: Microphone | None = None

    @property
    def session(self) -> ServedSession:
        """The session.

        Raises:
            StateError: the call was not answered yet.
        """
        if self._opened is None:
            raise StateError("the call has no session yet: await answer() first")
        return self._opened.session

    # -- the way in --------------------------------------------------------------------------------------------

    async def answer(self) -> str:
        """Open the session, and answer the offer. Call it once.

        Returns:
            the SDP answer.

        Raises:
            RemoteProtocolError: ``invalid_offer``: it can't be answered.
            ConfigurationError: none of the ``ice_hosts`` is an address of this machine, or no port is free.
        """
        try:
            self._opened = self._open_session(self.loudspeaker)
            sdp = await self._negotiate()
        except BaseException:
            await self._release()
            raise
        self._tasks.spawn(self._live(self._opened), name=f"repartee.server.{self.id}")
        return sdp

    async def hangup(self, reason: str = "hung up") -> None:
        """End the call, and wait until it is over. Idempotent."""
        self._finish(reason)
        await self.ended.wait()

    async def _negotiate(self) -> str:
        peer = self._peer
        track = _LoudspeakerTrack(self)
        transceiver = peer.addTransceiver(track, direction="sendrecv")
        able = aiortc.RTCRtpSender.getCapabilities("audio").codecs
        transceiver.setCodecPreferences(
            [each for name in self._offer.codecs for each in able if each.name.lower() == name]
        )
        peer.on("datachannel", self._on_channel)
        peer.on("connectionstatechange", self._on_state)
        try:
            await peer.setRemoteDescription(aiortc.RTCSessionDescription(self._offer.sdp, "offer"))
            gather_on(peer, self._options.ice_hosts, port_range(self._options.ice_ports))
            listen_to(transceiver.receiver, self._on_packet)
            await peer.setLocalDescription(await peer.createAnswer())
        except NEGOTIATION_ERRORS as error:
            raise RemoteProtocolError(
                f"The SDP offer can't be answered: {str(error)[:200] or type(error).__name__}.",
                code="invalid_offer",
                param="sdp",
            ) from error
        sdp: str = peer.localDescription.sdp
        if "a=candidate:" not in sdp:
            where = ", ".join(self._options.ice_hosts) or "any address of this machine"
            raise ConfigurationError(
                f"no UDP socket for WebRTC can be bound to {where}; right are addresses it has"
            )
        codecs = _codecs_of(sdp)
        track.codec = next(iter(codecs.values()))
        self._microphone = Microphone(codecs)
        self.loudspeaker.open(track.codec, self.session)
        return with_public_addresses(sdp, self._options.public_ips)

    # -- the life ----------------------------------------------------------------------------------------------

    async def _live(self, opened: OpenedSession) -> None:
        try:
            opened.session.attach(self._listener, dialect=self._dialect)
            self._tasks.spawn(self._start(opened.session), name="repartee.server.call.start")
            self._tasks.spawn(self._until_session_ends(opened.session), name="repartee.server.call.session")
            self._tasks.spawn(self._watch(), name="repartee.server.call.watch")
            if not self._offer.hears:  # nobody takes packets from the track, but time goes on
                self._tasks.spawn(self._play_to_nobody(), name="repartee.server.call.play")
            try:
                async with asyncio.timeout(self._options.handshake_s):
                    await self._ready.wait()
            except TimeoutError:
                self._finish(f"nothing connected within {self._options.handshake_s:g} s")
            await self._over.wait()
            log.info("call %s: over: %s %s", self.id, self._reason, self.loudspeaker.statistics)
            await self._flush()
        finally:
            await self._release()

    async def _release(self) -> None:
        """Let go of everything. Idempotent."""
        self._finish("not answered")
        try:
            if self._opened is not None:
                await self._opened.aclose()
        finally:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self._peer.close()
            except TimeoutError:
                log.warning("call %s: closing the peer connection took more than %g s", self.id, CLOSE_S)
            finally:
                await self._tasks.aclose()
                if not self.ended.is_set():
                    self.ended.set()
                    if self._on_end is not None:
                        self._on_end(self)

    async def _flush(self) -> None:
        """Let the last events leave, above all the error that says why."""
        until = self._clock.now() + FLUSH_S
        while (  # noqa: ASYNC110 -- the acknowledgements that are waited for tell nobody
            self._peer.connectionState == "connected"
            and undelivered(self._peer)
            and self._clock.now() < until
        ):
            await asyncio.sleep(FLUSH_CHECK_S)

    def _finish(self, reason: str) -> None:
        if not self._over.is_set():
            self._reason = reason
            self._over.set()
            self._ready.set()

    def _crashed(self, error: Exception) -> None:
        log.error("call %s: failed", self.id, exc_info=error)
        self._finish(f"failed: {type(error).__name__}")

    async def _start(self, session: ServedSession) -> None:
        handshake_s = self._options.handshake_s
        try:
            async with asyncio.timeout(handshake_s):
                await session.start()
        except TimeoutError:
            session.end(filled(HANDSHAKE_TIMEOUT, handshake_s=handshake_s))

    async def _until_session_ends(self, session: ServedSession) -> None:
        await session.ended.wait()
        self._finish("the session ended")

    async def _watch(self) -> None:
        received, since = 0, self._clock.now()
        while True:
            await asyncio.sleep(WATCH_S)
            stats = (await self._peer.getStats()).values()
            now_received = sum(each.packetsReceived for each in stats if each.type == "transport")
            if now_received != received or not self._ready.is_set():
                received, since = now_received, self._clock.now()
            elif self._clock.now() - since >= SILENT_MAX_S:
                self._finish(f"nothing was heard of the client for {SILENT_MAX_S:g} s")
            if overfull(self._peer):
                self._finish("the client sends pieces of messages without end")

    async def _play_to_nobody(self) -> None:
        while True:
            await self.loudspeaker.packet()

    # -- what the peer connection tells. A failure here must end the call, not aiortc's own task ---------------

    def _on_state(self) -> None:
        state = self._peer.connectionState
        log.debug("call %s: %s", self.id, state)
        if state == "connected" and not self._offer.has_channel:
            self._ready.set()
        elif state in ("failed", "closed"):
            self._finish(f"the connection {'was closed' if state == 'closed' else 'failed'}")

    def _on_channel(self, channel: aiortc.RTCDataChannel) -> None:
        if channel.label != EVENTS_CHANNEL or self._channel is not None:
            log.info("call %s: closes a data channel %r", self.id, channel.label[:40])
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._on_message)
        channel.on("close", lambda: self._finish("the client closed the data channel"))
        self._guarded(self._listener.open, channel)
        self._ready.set()
        log.info("call %s: connected in %.2f s", self.id, self._clock.now())

    def _on_message(self, message: bytes | str) -> None:
        if self._over.is_set() or self._opened is None:
            return
        self._opened.touch()
        session = self._opened.session
        if not self._rate.allows(self._clock.now()):
            options = self._options
            session.end(filled(TOO_FAST, burst=options.events_burst, per_s=options.events_per_s))
            return
        self._guarded(session.receive, message, self._listener)

    def _on_packet(self, packet: Any) -> None:
        if self._over.is_set() or self._opened is None or self._microphone is None:
            return
        if self._packet_rate.allows(self._clock.now()):
            self._guarded(self._hear, packet, self._microphone, self._opened)

    def _hear(self, packet: Any, microphone: Microphone, opened: OpenedSession) -> None:
        pcm = microphone.push(
            packet.ssrc,
            packet.sequence_number,
            packet.timestamp,
            packet.payload_type,
            packet.payload,
            now=self._clock.now(),
        )
        if pcm:
            opened.touch()
            opened.session.hear(pcm)

    def _guarded(self, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:
            self._crashed(error)

    async def packet(self) -> av.Packet[Any]:
        """The next packet of the loudspeaker, when it is due; for the track.

        Raises:
            MediaStreamError: the call is over, or playing failed, which ends it.
        """
        if self._over.is_set():
            raise aiortc.mediastreams.MediaStreamError
        try:
            payload, timestamp = await self.loudspeaker.packet()
        except Exception as error:
            self._crashed(error)
            raise aiortc.mediastreams.MediaStreamError from error
        packet = av.Packet(payload)
        packet.pts = timestamp
        return packet


class _LoudspeakerTrack(aiortc.MediaStreamTrack):  # type: ignore[misc, unused-ignore]
    """A call's loudspeaker, as aiortc takes it: encoded already."""

    kind = "audio"

    def __init__(self, call: WebRtcCall) -> None:
        super().__init__()
        self._call = call
        self.codec = "opus"

    async def recv(self) -> av.Packet[Any]:
        """The next packet, when it is due."""
        packet = await self._call.packet()
        packet.time_base = Fraction(1, CLOCK_RATES[self.codec])
        return packet


def _codecs_of(sdp: str) -> dict[int, str]:
    """What each payload type of an answer stands for, the one to send first."""
    [audio] = [each for each in SessionDescription.parse(sdp).media if each.kind == "audio"]
    named = {each.payloadType: each.mimeType.lower().removeprefix("audio/") for each in audio.rtp.codecs}
    return {kind: name for kind, name in named.items() if kind is not None and name in CLOCK_RATES}
