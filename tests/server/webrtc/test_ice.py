"""Where a server stands."""

from __future__ import annotations

import pytest

from repartee.errors import ConfigurationError
from repartee.server.webrtc.ice import IceServer, check_address, ice_server, port_range, with_public_addresses

ANSWER = (
    "\r\n".join(
        [
            "v=0",
            "m=audio 4000 UDP/TLS/RTP/SAVPF 96",
            "a=candidate:aa 1 udp 2130706431 172.17.0.2 4000 typ host",
            "a=candidate:bb 1 udp 2130706431 2001:db8::2 4001 typ host",
            "a=candidate:cc 1 udp 1694498815 203.0.113.9 4000 typ srflx raddr 172.17.0.2 rport 4000",
        ]
    )
    + "\r\n"
)


def test_public_addresses_stand_beside_the_hosts_own_of_their_family() -> None:
    told = with_public_addresses(ANSWER, ["203.0.113.7", "2001:db8::7"]).splitlines()
    assert [line for line in told if "candidate" in line] == [
        "a=candidate:aa0 1 udp 2130706431 203.0.113.7 4000 typ host",
        "a=candidate:aa 1 udp 2130706431 172.17.0.2 4000 typ host",
        "a=candidate:bb1 1 udp 2130706431 2001:db8::7 4001 typ host",
        "a=candidate:bb 1 udp 2130706431 2001:db8::2 4001 typ host",
        "a=candidate:cc 1 udp 1694498815 203.0.113.9 4000 typ srflx raddr 172.17.0.2 rport 4000",
    ]


def test_without_public_addresses_an_answer_stays() -> None:
    assert with_public_addresses(ANSWER, []) == ANSWER


def test_an_address_is_a_number() -> None:
    assert check_address("192.0.2.1") == "192.0.2.1"
    assert check_address("::1") == "::1"
    with pytest.raises(ConfigurationError, match="'localhost' is no IP address"):
        check_address("localhost")


@pytest.mark.parametrize(
    "text, found",
    [
        ("stun:stun.example.test:3478", IceServer("stun:stun.example.test:3478")),
        ("turn:ann:pa:ss@turn.example.test:3478", IceServer("turn:turn.example.test:3478", "ann", "pa:ss")),
        ("turns:a:b@t.example.test:443", IceServer("turns:t.example.test:443", "a", "b")),
    ],
)
def test_servers_are_read(text: str, found: IceServer) -> None:
    assert ice_server(text) == found


@pytest.mark.parametrize(
    "text", ["", "stun", "http://secret", "turn:secret.example.test:3478", "turn:secret@x"]
)
def test_what_is_no_server_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match="right is stun:HOST:PORT") as caught:
        ice_server(text)
    assert "secret" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    assert "hidden" not in repr(ice_server("turn:ann:hidden@turn.example.test:3478"))


def test_a_range_of_ports_includes_both_ends() -> None:
    assert port_range("50000-50001") == range(50_000, 50_002)
    assert port_range("50000-50000") == range(50_000, 50_001)
    assert not port_range("")


@pytest.mark.parametrize("text", ["50000", "50001-50000", "80-90", "50000-70000", "a-b", "-", "50000-"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="right is FIRST-LAST within 1024-65535"):
        port_range(text)
