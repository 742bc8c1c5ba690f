"""Offers, good and bad."""

from __future__ import annotations

import asyncio
import contextlib
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("aiortc", reason="WebRTC is not installed: pip install 'repartee[webrtc]'")

import aiortc

from repartee.errors import RemoteProtocolError
from repartee.server.webrtc.offer import read_offer

CHROME_CANDIDATES = [
    "a=candidate:1 1 udp 2113937151 0e7a0b46-9f3c-4a8b-8f9e-0c5d3c0c6d55.local 51234 typ host generation 0",
    "a=candidate:2 1 udp 1677729535 203.0.113.7 51234 typ srflx raddr 0.0.0.0 rport 0 generation 0",
    "a=candidate:3 1 tcp 1518214911 192.0.2.4 9 typ host tcptype active generation 0",
    "a=candidate:4 1 udp 2113937151 2001:db8::1 51235 typ host generation 0",
]


@functools.cache
def offer(*kinds: str) -> str:
    """What aiortc offers, without candidates of this machine."""

    async def make() -> str:
        peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration([]))
        for kind in kinds:
            if kind == "channel":
                peer.createDataChannel("oai-events")
            else:
                peer.addTransceiver(kind)
        sdp: str = (await peer.createOffer()).sdp
        await peer.close()
        return sdp

    return asyncio.run(make())


def refusal(sdp: str) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        read_offer(sdp)
    assert caught.value.code == "invalid_offer"
    assert caught.value.param == "sdp"
    return str(caught.value)


def test_an_offer_is_read() -> None:
    found = read_offer(offer("audio", "channel"))
    assert found.codecs == ("opus", "pcmu", "pcma")
    assert found.has_channel
    assert found.hears
    assert found.message_bytes_max == 262_144


def test_an_offer_without_a_channel_is_one() -> None:
    found = read_offer(offer("audio"))
    assert not found.has_channel
    assert found.message_bytes_max == 65_536


def test_the_order_of_the_clients_codecs_is_kept() -> None:
    sdp = offer("audio", "channel")
    lines = [line for line in sdp.splitlines() if not line.startswith(("a=rtpmap:96", "a=rtpmap:9 "))]
    reordered = "\r\n".join(lines).replace("RTP/SAVPF 96 9 0 8", "RTP/SAVPF 8 0") + "\r\n"
    assert read_offer(reordered).codecs == ("pcma", "pcmu")


@pytest.mark.parametrize(
    "direction, hears", [("sendrecv", True), ("recvonly", True), ("sendonly", False), ("inactive", False)]
)
def test_whether_the_client_takes_sound(direction: str, hears: bool) -> None:
    sdp = offer("audio", "channel").replace("a=sendrecv", f"a={direction}")
    assert read_offer(sdp).hears is hears


def test_only_literal_udp_candidates_are_taken() -> None:
    sdp = offer("audio", "channel") + "\r\n".join([*CHROME_CANDIDATES, "a=end-of-candidates"]) + "\r\n"
    kept = [line for line in read_offer(sdp).sdp.splitlines() if "candidate" in line]
    assert kept == [CHROME_CANDIDATES[1], CHROME_CANDIDATES[3]]


@pytest.mark.parametrize(
    "candidate",
    [
        "a=candidate:1 1 udp 1 224.0.0.1 5000 typ host",
        "a=candidate:1 1 udp 1 0.0.0.0 5000 typ host",
        "a=candidate:1 1 udp 1 192.0.2.1 0 typ host",
        "a=candidate:1 1 udp 1 example.test 5000 typ host",
        "a=candidate:1 1 udp 1 192.0.2.1 5000 typ prflx",
        "a=candidate:1",
    ],
)
def test_strange_candidates_are_not_taken(candidate: str) -> None:
    assert "candidate" not in read_offer(offer("audio") + candidate + "\r\n").sdp


def test_so_many_candidates_are_enough() -> None:
    lines = [f"a=candidate:1 1 udp 1 192.0.2.{index} 5000 typ host\r\n" for index in range(200)]
    assert read_offer(offer("audio") + "".join(lines)).sdp.count("a=candidate") == 16


@pytest.mark.parametrize(
    "sdp, why",
    [
        ("", "it has the sections []"),
        ("hello", "it has the sections []"),
        ("v=0\r\nm=audio\r\n", "can't be read"),
        ("x" * 70_000, "it has 70000 bytes; right is at most 65536"),
    ],
)
def test_what_is_no_offer_is_refused(sdp: str, why: str) -> None:
    assert why in refusal(sdp)


def test_what_cannot_be_answered_is_refused_with_the_reason() -> None:
    good = offer("audio", "channel")
    assert "['application']" in refusal(offer("channel"))
    assert "['audio', 'audio']" in refusal(offer("audio", "audio"))
    assert "one audio section and one for the data channel 'oai-events'" in refusal(offer("audio", "video"))
    assert "no fingerprint" in refusal(
        "\r\n".join(line for line in good.splitlines() if "fingerprint" not in line)
    )
    assert "no ice-ufrag or ice-pwd" in refusal(
        "\r\n".join(line for line in good.splitlines() if "ice-pwd" not in line)
    )
    assert "rtcp-mux" in refusal(good.replace("a=rtcp-mux\r\n", ""))
    assert "its codecs are" in refusal(
        "\r\n".join(
            line for line in good.replace("SAVPF 96 9 0 8", "SAVPF 9").splitlines() if "rtpmap" not in line
        )
    )


@given(st.data())
def test_a_mangled_offer_is_read_or_refused(data: st.DataObject) -> None:
    lines = offer("audio", "channel").splitlines()
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["drop", "cut", "double", "swap", "junk"]))
        if change == "drop" and len(lines) > 1:
            del lines[at]
        elif change == "cut":
            lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
        elif change == "double":
            lines.insert(at, lines[at])
        elif change == "swap":
            lines[at], lines[0] = lines[0], lines[at]
        else:
            lines[at] += data.draw(st.text(max_size=10))
    with contextlib.suppress(RemoteProtocolError):  # nothing else
        read_offer("\r\n".join(lines) + "\r\n")
