"""A WebRTC offer: what is taken of it.

One audio section is needed (it may offer other codecs, but Opus or G.711 among them), and a data channel is usual. The
offer's candidates are an untrusted list of addresses to send packets to: only literal UDP addresses are kept, and only
some of them. Names (``….local``, which browsers write to hide an address) aren't looked up: the browser's own checks
come from the address behind the name, and that is how it is found (RFC 8445, 7.3.1.3). That is also why the offer
isn't taken as complete, even if it says so.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Final

from repartee.errors import MissingDependencyError, RemoteProtocolError
from repartee.server.webrtc.voice_codec import CLOCK_RATES

__all__ = ["EVENTS_CHANNEL", "Offer", "read_offer"]

OFFER_BYTES_MAX: Final = 64 << 10
CANDIDATES_MAX: Final = 16
MESSAGE_BYTES_DEFAULT: Final = 65_536
"""The largest message of a peer that names no limit (RFC 8841, 6.1)."""
EVENTS_CHANNEL: Final = "oai-events"
"""The data channel that carries the events."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that can be answered."""

    sdp: str
    """Without what isn't taken of it."""
    codecs: tuple[str, ...]
    """Those of `CLOCK_RATES` that it offers, in its order of preference."""
    has_channel: bool
    """Whether it offers data channels."""
    hears: bool
    """Whether its audio section takes sound (``sendrecv``, ``recvonly``)."""
    message_bytes_max: int
    """The largest message that its data channels take; 0: any."""


def read_offer(sdp: str) -> Offer:
    """Check an offer.

    Args:
        sdp: as the client sent it.

    Returns:
        what is taken of it.

    Raises:
        RemoteProtocolError: ``invalid_offer``: it can't be answered; says why.
        MissingDependencyError: WebRTC is not installed.
    """
    if len(sdp) > OFFER_BYTES_MAX:
        raise _refused(f"it has {len(sdp)} bytes; right is at most {OFFER_BYTES_MAX}")
    sdp = _without_strange_candidates(sdp)
    media = _sections(sdp)
    kinds = [section.kind for section in media]
    if sorted(kinds) not in (["audio"], ["application", "audio"]):
        raise _refused(
            f"it has the sections {kinds}; right are one audio section and one for the data channel "
            f"{EVENTS_CHANNEL!r}"
        )
    audio = media[kinds.index("audio")]
    offered = {codec.payloadType: codec for codec in audio.rtp.codecs}
    in_order = [offered[kind] for kind in audio.fmt if kind in offered]
    names = [codec.mimeType.lower().removeprefix("audio/") for codec in in_order]
    known = {
        name for name, codec in zip(names, in_order, strict=True) if CLOCK_RATES.get(name) == codec.clockRate
    }
    codecs = tuple(dict.fromkeys(name for name in names if name in known))
    if not codecs:
        raise _refused(f"its codecs are {names}; right is one of {', '.join(CLOCK_RATES)}")
    channel = media[kinds.index("application")] if "application" in kinds else None
    told = channel.sctpCapabilities if channel is not None else None
    return Offer(
        sdp=sdp,
        codecs=codecs,
        has_channel=channel is not None,
        hears=audio.direction in ("sendrecv", "recvonly", None),
        message_bytes_max=MESSAGE_BYTES_DEFAULT if told is None else int(told.maxMessageSize),
    )


def _sections(sdp: str) -> list[Any]:
    try:
        from aiortc.sdp import SessionDescription
    except ImportError as error:
        raise MissingDependencyError("WebRTC", package="aiortc", extra="webrtc") from error
    try:
        media: list[Any] = SessionDescription.parse(sdp).media
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _refused(f"it can't be read ({type(error).__name__}: {str(error)[:100]})") from error
    for section in media:
        if section.dtls is None or not section.dtls.fingerprints:
            raise _refused("a section of it has no fingerprint for DTLS")
        if section.ice is None or not section.ice.usernameFragment or not section.ice.password:
            raise _refused("a section of it has no ice-ufrag or ice-pwd")
        if section.kind == "audio" and not section.rtcp_mux:
            raise _refused("its audio section doesn't offer rtcp-mux")
    return media


def _refused(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"The SDP offer can't be answered: {why}.", code="invalid_offer", param="sdp")


def _without_strange_candidates(sdp: str) -> str:
    kept: list[str] = []
    seen: set[str] = set()
    for line in sdp.splitlines():
        if line.startswith("a=candidate:"):
            if line not in seen and (len(seen) >= CANDIDATES_MAX or not _plain(line)):
                continue
            seen.add(line)  # each section may repeat the candidates of the first
        elif line.startswith("a=end-of-candidates"):
            continue
        kept.append(line)
    return "\r\n".join(kept) + "\r\n"


def _plain(line: str) -> bool:
    """Whether a candidate is a literal UDP address."""
    words = line.split()
    if len(words) < 8 or words[2].lower() != "udp" or words[7] not in ("host", "srflx", "relay"):
        return False
    try:
        address = ipaddress.ip_address(words[4])
    except ValueError:
        return False
    return not (address.is_multicast or address.is_unspecified) and words[5] != "0"
