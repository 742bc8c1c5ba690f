"""The guard of tests/conftest.py does guard."""

from __future__ import annotations

import socket

import pytest


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.invalid"])
def test_a_test_that_reaches_for_the_network_fails(host: str) -> None:
    with pytest.raises(BaseException, match="tests use only this machine"):
        socket.create_connection((host, 9), timeout=0.01)


def test_this_machine_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        connection, _ = server.accept()
        connection.close()
