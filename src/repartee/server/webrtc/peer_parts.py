"""What is taken from aiortc and aioice beyond their documented interfaces: four small things, each with its reason.

`constraints.txt` pins the versions that were tested; another one in which a part is gone is refused with a message, not
half used.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from repartee.errors import MissingDependencyError

if TYPE_CHECKING:
    from aiortc import RTCPeerConnection, RTCRtpReceiver

__all__ = ["gather_on", "listen_to", "overfull", "undelivered"]

JITTER_BUFFER: Final = "_RTCRtpReceiver__jitter_buffer"
PIECES_MAX: Final = 4096
CHANNELS_MAX: Final = 16
ANYWHERE: Final = ("127.0.0.1",)
"""Where a machine without any network is."""


def gather_on(peer: RTCPeerConnection, hosts: Sequence[str], ports: range = range(0)) -> None:
    """Bind a call's UDP sockets to these addresses and ports, instead of to any of the machine.

    aioice has no parameters for it. Call it between ``setRemoteDescription`` and ``setLocalDescription``.

    Args:
        peer: of the call.
        hosts: IP addresses of this machine; none: all but the loopback, and that if there is no other.
        ports: to choose from; STUN servers are not asked then. Default: any, as the system chooses.
    """
    for transport in _dtls_transports(peer):
        connection = _part(transport.transport.iceGatherer, "_connection")
        gather = _part(connection, "get_component_candidates")

        async def bound(
            component: int, addresses: list[str], timeout: int = 5, of: Any = connection, gather: Any = gather
        ) -> Any:
            wanted = list(hosts) or addresses or list(ANYWHERE)
            if not ports:
                return await gather(component, wanted, timeout)
            found = [await _host_candidate(of, component, address, ports) for address in wanted]
            return [each for each in found if each is not None] + await gather(component, [], timeout)

        connection.get_component_candidates = bound


async def _host_candidate(connection: Any, component: int, address: str, ports: range) -> Any:
    """A candidate on the first free port of a range, from a random one on; ``None``: none can be bound."""
    from aioice.candidate import Candidate, candidate_foundation, candidate_priority
    from aioice.ice import StunProtocol

    loop = asyncio.get_running_loop()
    start = random.randrange(len(ports))
    for port in (*ports[start:], *ports[:start]):
        try:
            _, protocol = await loop.create_datagram_endpoint(
                lambda: StunProtocol(connection), local_addr=(address, port)
            )
        except OSError:
            continue
        _part(connection, "_protocols").append(protocol)
        protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", address),
            component=component,
            transport="udp",
            priority=candidate_priority(component, "host"),
            host=address,
            port=port,
            type="host",
        )
        return protocol.local_candidate
    return None


def listen_to(receiver: RTCRtpReceiver, on_packet: Callable[[Any], None]) -> None:
    """Take a receiver's RTP packets (``aiortc.rtp.RtpPacket``) as they come, in place of its jitter buffer.

    The receiver goes on making RTCP reports. Its decoder and its track get nothing.
    """
    _part(receiver, JITTER_BUFFER)
    setattr(receiver, JITTER_BUFFER, _Tap(on_packet))


class _Tap:
    """Stands where a receiver's jitter buffer was."""

    def __init__(self, on_packet: Callable[[Any], None]) -> None:
        self._on_packet = on_packet

    def add(self, packet: Any) -> tuple[bool, None]:
        """Take a packet: no picture loss, no frame to decode."""
        self._on_packet(packet)
        return False, None


def overfull(peer: RTCPeerConnection) -> bool:
    """Whether a client holds more in the data channels' reassembly than one that keeps to its window can.

    aiortc advertises a window of 1 MiB but takes what comes beyond it, so a hostile client could fill the memory.
    """
    sctp: Any = peer.sctp
    if sctp is None:
        return False
    pieces = sum(len(stream.reassembly) for stream in getattr(sctp, "_inbound_streams", {}).values())
    window = getattr(sctp, "_advertised_rwnd", 0)
    return (
        pieces > PIECES_MAX or window < -(1 << 20) or len(getattr(sctp, "_data_channels", ())) > CHANNELS_MAX
    )


def undelivered(peer: RTCPeerConnection) -> bool:
    """Whether messages were sent that the client has not acknowledged; closing would lose them."""
    sctp: Any = peer.sctp
    names = ("_data_channel_queue", "_outbound_queue", "_sent_queue")
    return sctp is not None and any(getattr(sctp, name, None) for name in names)


def _dtls_transports(peer: RTCPeerConnection) -> list[Any]:
    found = [transceiver.receiver.transport for transceiver in peer.getTransceivers()]
    if peer.sctp is not None:
        found.append(peer.sctp.transport)
    return list(dict.fromkeys(found))


def _part(owner: object, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        raise MissingDependencyError(
            "WebRTC",
            package="aiortc",
            extra="webrtc",
            detail=f"this version has no {name}; install the pinned one",
        ) from error
