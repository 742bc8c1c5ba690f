"""Where a server stands for WebRTC: its addresses, and the STUN and TURN servers that help to reach it (RFC 8445)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from repartee.errors import ConfigurationError

__all__ = ["IceServer", "check_address", "ice_server", "port_range", "with_public_addresses"]


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server."""

    url: str
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"IceServer({self.url!r})"  # the password stays out of every log


_HOST_CANDIDATE = re.compile(r"a=candidate:(\S+) (\d+ udp \d+) (\S+) (\d+) typ host(.*)", re.IGNORECASE)


def with_public_addresses(sdp: str, addresses: Sequence[str]) -> str:
    """An answer that also names the addresses by which a server behind a 1:1 NAT is reached.

    Args:
        sdp: the answer.
        addresses: the public ones; each stands beside every host candidate of its family, with the same port.
    """
    if not addresses:
        return sdp
    lines: list[str] = []
    for line in sdp.splitlines():
        found = _HOST_CANDIDATE.fullmatch(line)
        if found is not None:
            foundation, middle, host, port, rest = found.groups()
            version = ipaddress.ip_address(host).version
            lines += [
                f"a=candidate:{foundation}{index} {middle} {address} {port} typ host{rest}"
                for index, address in enumerate(addresses)
                if ipaddress.ip_address(address).version == version
            ]
        lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def check_address(address: str) -> str:
    """An IP address as it was given.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ConfigurationError(
            f"{address!r} is no IP address; right is one such as 203.0.113.7, not a name"
        ) from None
    return address


def port_range(text: str) -> range:
    """Read a range of ports.

    Args:
        text: ``FIRST-LAST``, both included; ``""``: none, the system chooses.

    Raises:
        ConfigurationError: it is none.
    """
    if not text:
        return range(0)
    first, dash, last = text.partition("-")
    if dash and first.isdecimal() and last.isdecimal() and 1024 <= int(first) <= int(last) <= 65535:
        return range(int(first), int(last) + 1)
    raise ConfigurationError(
        f"{text!r} is no range of ports; right is FIRST-LAST within 1024-65535, such as 50000-50199"
    )


_ICE_SERVER = re.compile(
    r"(?P<scheme>stuns?|turns?):(?:(?P<username>[^:@]+):(?P<password>[^@]+)@)?(?P<where>[^@]+)"
)


def ice_server(text: str) -> IceServer:
    """Read a STUN or TURN server.

    Args:
        text: ``stun:host:port`` or ``turn:user:password@host:port``.

    Raises:
        ConfigurationError: it is neither. The message doesn't repeat it, as it may hold a password.
    """
    found = _ICE_SERVER.fullmatch(text)
    if found is None or (found["scheme"].startswith("turn") and found["username"] is None):
        raise ConfigurationError(
            "an ICE server can't be read; right is stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT"
        )
    return IceServer(f"{found['scheme']}:{found['where']}", found["username"], found["password"])
