"""What is taken from aiortc beyond its documented interface is still there."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiortc", reason="WebRTC is not installed: pip install 'repartee[webrtc]'")

import aiortc

from repartee.errors import MissingDependencyError
from repartee.server.webrtc.peer_parts import gather_on, listen_to, overfull, undelivered


def test_candidates_come_only_from_the_named_hosts() -> None:
    async def main() -> None:
        peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration([]))
        peer.addTransceiver("audio")
        peer.createDataChannel("x")
        gather_on(peer, ["127.0.0.1"])
        await peer.setLocalDescription(await peer.createOffer())
        lines = [line for line in peer.localDescription.sdp.splitlines() if line.startswith("a=candidate")]
        assert {line.split()[4] for line in lines} == {"127.0.0.1"}
        assert not overfull(peer)
        assert undelivered(peer)  # the request for the channel
        await peer.close()

    asyncio.run(main())


def test_candidates_use_free_ports_of_the_range() -> None:
    async def main() -> None:
        ports = range(42_310, 42_312)
        used = []
        peers = []
        for _ in range(3):
            peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration([]))
            peers.append(peer)
            peer.addTransceiver("audio")
            gather_on(peer, ["127.0.0.1"], ports)
            await peer.setLocalDescription(await peer.createOffer())
            sdp = peer.localDescription.sdp
            used += [int(line.split()[5]) for line in sdp.splitlines() if line.startswith("a=candidate")]
        assert sorted(used) == list(ports)  # for the third there was none
        for peer in peers:
            await peer.close()

    asyncio.run(main())


def test_packets_are_taken_before_the_jitter_buffer() -> None:
    async def main() -> None:
        peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration([]))
        receiver: Any = peer.addTransceiver("audio").receiver
        taken: list[Any] = []
        listen_to(receiver, taken.append)
        codec = aiortc.RTCRtpCodecParameters("audio/PCMU", 8000, 1, 0)
        receiver._RTCRtpReceiver__codecs[0] = codec
        packet = aiortc.rtp.RtpPacket(payload_type=0, sequence_number=1, timestamp=2)
        await receiver._handle_rtp_packet(packet, arrival_time_ms=0)
        assert taken == [packet]
        await peer.close()

    asyncio.run(main())


def test_a_version_without_a_part_is_refused() -> None:
    with pytest.raises(
        MissingDependencyError, match=r"this version has no .*jitter_buffer; install the pinned one"
    ):
        listen_to(SimpleNamespace(), print)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "pieces, window, channels, too_much",
    [(10, 1 << 20, 1, False), (5000, 1 << 20, 1, True), (1, -(2 << 20), 1, True), (1, 0, 17, True)],
)
def test_a_client_that_sends_without_end_is_noticed(
    pieces: int, window: int, channels: int, too_much: bool
) -> None:
    streams = {0: SimpleNamespace(reassembly=[None] * pieces)}
    sctp = SimpleNamespace(
        _inbound_streams=streams, _advertised_rwnd=window, _data_channels=dict.fromkeys(range(channels))
    )
    assert overfull(SimpleNamespace(sctp=sctp)) is too_much  # type: ignore[arg-type]


def test_nothing_waits_where_there_is_no_channel() -> None:
    nothing: Any = SimpleNamespace(sctp=None)
    assert not overfull(nothing)
    assert not undelivered(nothing)
    waiting: Any = SimpleNamespace(
        sctp=SimpleNamespace(_data_channel_queue=[], _outbound_queue=[1], _sent_queue=[])
    )
    assert undelivered(waiting)
