"""What uvicorn reads sockets with."""

from __future__ import annotations

import sys

import pytest

from repartee.server.options import ServerOptions
from repartee.server.socket_protocols import http_protocol, websocket_protocol


def test_ours_is_taken_where_it_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("picows", reason="picows is not installed: pip install 'repartee[server]'")
    assert callable(websocket_protocol(ServerOptions()))
    monkeypatch.delitem(sys.modules, "repartee.server.native", raising=False)
    monkeypatch.setitem(sys.modules, "picows", None)
    assert websocket_protocol(ServerOptions()) == "websockets-sansio"


def test_the_deadline_is_of_our_http() -> None:
    made = http_protocol(ServerOptions())
    assert made.connection_made.__qualname__.startswith("http_protocol")
