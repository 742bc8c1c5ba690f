"""What uvicorn reads sockets with."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from repartee.errors import MissingDependencyError
from repartee.server.options import ServerOptions
from repartee.server.sockets.socket_protocols import http_protocol, websocket_protocol
from tests.server.serving import http, make_app, open_socket, over_sockets, serving


def test_ours_is_taken_where_it_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("picows", reason="picows is not installed: pip install 'repartee[server]'")
    assert callable(websocket_protocol(ServerOptions()))
    monkeypatch.delitem(sys.modules, "repartee.server.sockets.native", raising=False)
    monkeypatch.setitem(sys.modules, "picows", None)
    assert websocket_protocol(ServerOptions()) == "websockets-sansio"
    monkeypatch.setitem(sys.modules, "websockets", None)
    with pytest.raises(MissingDependencyError, match=r"picows.*repartee\[server\]"):
        websocket_protocol(ServerOptions())


@over_sockets
async def test_uvicorns_tells_no_keys_either(caplog: pytest.LogCaptureFixture) -> None:
    key = "sk-not-for-the-log"
    with caplog.at_level(logging.DEBUG):
        async with (
            serving(make_app((key,)), websockets="websockets-sansio") as server,
            open_socket(server, key=key, logger=logging.getLogger("tests.client")) as opened,
        ):
            assert "session.created" in str(await opened.recv())
            await opened.send('{"type": "fake.echo", "event_id": "one"}')
            await opened.recv()
    told = [each for each in caplog.records if each.name != "tests.client"]
    assert any("began" in each.getMessage() for each in told)
    assert not [each for each in told if key in each.getMessage()]


def test_the_deadline_is_of_our_http() -> None:
    made = http_protocol(ServerOptions())
    assert made.connection_made.__qualname__.startswith("http_protocol")


@over_sockets
async def test_connections_are_bounded_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repartee.server.sockets.socket_protocols.SPARE", 1)
    async with serving(make_app(connections=1)) as server:
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 503 " in await reader.readline()
        for _, each in [*held, (reader, writer)]:
            each.close()
        while server.server_state.connections:
            await asyncio.get_running_loop().run_in_executor(None, int)
        async with http(server) as client:
            assert (await client.get("/healthz")).status_code == 200
