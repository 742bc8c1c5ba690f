"""Our WebSocket for uvicorn, by what only it has to do: fragments, malformed handshakes, clients that misbehave."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import logging
import os
import struct
from typing import Any

import pytest

pytest.importorskip("picows", reason="picows is not installed: pip install 'repartee[server]'")

from tests.server.serving import FakeSession, closing, make_app, open_socket, over_sockets, serving

TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9


def _frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    mask = os.urandom(4)
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([opcode | (0x80 if fin else 0)]) + length + mask + masked


class _Raw:
    """A client that sends what it likes."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> _Raw:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def handshake(
        self, *, more: bytes = b"", key: bytes | None = None, version: bytes = b"13"
    ) -> bytes:
        key = base64.b64encode(os.urandom(16)) if key is None else key
        self.writer.write(
            b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: " + version + b"\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n" + more
        )
        return await self.reader.readuntil(b"\r\n\r\n")

    async def frame(self) -> tuple[int, bytes]:
        first, length = await self.reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        return first & 15, await self.reader.readexactly(length)

    async def event(self) -> dict[str, Any]:
        opcode, payload = await self.frame()
        assert opcode == TEXT
        event: dict[str, Any] = json.loads(payload)
        return event


@over_sockets
async def test_fragments_are_joined_with_pings_between() -> None:
    async with serving(make_app()) as server, _Raw(server.port) as raw:
        assert (await raw.handshake()).startswith(b"HTTP/1.1 101")
        assert (await raw.event())["type"] == "session.created"
        raw.writer.write(_frame(TEXT, b'{"type"', fin=False) + _frame(PING, b"?"))
        assert await raw.frame() == (10, b"?")
        raw.writer.write(_frame(CONTINUATION, b":", fin=False) + _frame(CONTINUATION, b'"one"}'))
        assert (await raw.event())["event"] == {"type": "one"}
        raw.writer.write(_frame(BINARY, b"\0", fin=False) + _frame(CONTINUATION, b"\0"))
        assert (await raw.event())["error"]["code"] == "invalid_event"
        raw.writer.write(_frame(CLOSE, struct.pack("!H", 1000)))
        assert await raw.frame() == (CLOSE, struct.pack("!H", 1000))
        await asyncio.wait_for(FakeSession.made[0].ended.wait(), 5)


@over_sockets
async def test_fragments_are_bounded_together() -> None:
    async with serving(make_app(frame_bytes=1024)) as server, _Raw(server.port) as raw:
        await raw.handshake()
        await raw.event()
        raw.writer.write(_frame(TEXT, b"x" * 600, fin=False) + _frame(CONTINUATION, b"x" * 600, fin=False))
        opcode, payload = await raw.frame()
        assert (opcode, struct.unpack("!H", payload[:2])) == (CLOSE, (1009,))


@over_sockets
async def test_a_continuation_of_nothing() -> None:
    async with serving(make_app()) as server, _Raw(server.port) as raw:
        await raw.handshake()
        await raw.event()
        raw.writer.write(_frame(CONTINUATION, b"x"))
        opcode, payload = await raw.frame()
        assert (opcode, struct.unpack("!H", payload[:2])) == (CLOSE, (1002,))


@pytest.mark.parametrize("given", [{"key": b""}, {"key": b"short"}, {"version": b"8"}])
@over_sockets
async def test_a_malformed_handshake_is_refused_and_holds_no_place(given: dict[str, bytes]) -> None:
    async with serving(make_app(sessions=1)) as server:
        for _ in range(3):
            async with _Raw(server.port) as raw:
                assert (await raw.handshake(**given)).split()[1] in (b"400", b"426")
        async with open_socket(server) as socket:
            assert json.loads(await socket.recv())["type"] == "session.created"


@over_sockets
async def test_frames_that_come_with_the_handshake_are_not_lost() -> None:
    async with serving(make_app()) as server, open_socket(server) as socket:
        await socket.send('{"type":"session.update"}')  # before session.created was read
        assert json.loads(await socket.recv())["type"] == "session.created"
        assert json.loads(await socket.recv())["event"] == {"type": "session.update"}


@over_sockets
async def test_a_client_that_answers_no_ping_is_dropped() -> None:
    async with serving(make_app(ping_s=0.1)) as server, _Raw(server.port) as raw:
        await raw.handshake()
        await raw.event()
        assert (await raw.frame())[0] == PING
        await asyncio.wait_for(FakeSession.made[0].ended.wait(), 10)


@over_sockets
async def test_a_client_that_does_not_close_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repartee.server.sockets.native.CLOSE_S", 0.1)
    async with serving(make_app(session_s=1)) as server, _Raw(server.port) as raw:
        await raw.handshake()
        await asyncio.wait_for(FakeSession.made[0].ended.wait(), 5)
        assert FakeSession.made[0].faults


@over_sockets
async def test_the_servers_end_closes_what_is_open() -> None:
    async with serving(make_app(drain_s=0)) as server:
        socket = await open_socket(server)
        await socket.recv()
        server.should_exit = True  # not in order: without draining
        _, code, _ = await closing(socket)
        assert code == 1012


@over_sockets
@pytest.mark.parametrize("websockets", ["native", "websockets-sansio"])
async def test_a_client_that_floods_leaves_the_others_their_turn(websockets: str) -> None:
    flood = 1000
    async with serving(make_app(), websockets=websockets) as server, _Raw(server.port) as client:
        await client.handshake()
        assert (await client.event())["type"] == "session.created"
        [session] = FakeSession.made
        answered = [0]
        loop = asyncio.get_running_loop()

        def look() -> None:
            answered.append(len(session.frames))
            if not session.closed:
                loop.call_soon(look)

        look()
        echo = _frame(TEXT, b'{"type": "fake.echo"}')
        close = _frame(CLOSE, struct.pack("!H", 1000)) if websockets == "native" else b""
        client.writer.write(echo * flood + close)
        heard = [await client.event() for _ in range(flood)]
        assert {each["type"] for each in heard} == {"fake.echo"}
        if close:
            assert await client.frame() == (CLOSE, struct.pack("!H", 1000))
        at_once = [after - before for before, after in itertools.pairwise(answered)]
        assert max(at_once) <= 64  # of a turn's end, and the next one's


@over_sockets
async def test_what_a_client_does_wrong_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "repartee"):
        async with serving(make_app(frame_bytes=1024)) as server, open_socket(server) as opened:
            await opened.recv()
            await opened.send("x" * 40_000)
            assert (await closing(opened))[1] == 1009
    told = [each for each in caplog.records if "1009" in each.getMessage()]
    assert [each.levelname for each in told] == ["INFO"]
    assert not [each for each in caplog.records if each.levelno > logging.INFO]
    assert not FakeSession.made[0].frames
