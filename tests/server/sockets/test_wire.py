"""A WebSocket over plain ASGI, on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from repartee.server.options import ServerOptions
from repartee.server.sockets.wire import CLOSE_S, EXTENSION, AsgiWire, wire_of
from repartee.testing import elapse, virtual_time


class _Asgi:
    """The server's side of ASGI."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.coming: asyncio.Queue[Any] = asyncio.Queue(100)
        self.open = asyncio.Event()
        self.open.set()
        self.answers_close = True
        self.coming.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> Any:
        return await self.coming.get()

    async def send(self, message: Any) -> None:
        await self.open.wait()
        self.sent.append(message)
        if message["type"] == "websocket.close" and self.answers_close:
            self.coming.put_nowait({"type": "websocket.disconnect", "code": message["code"]})


def _wire(asgi: _Asgi, **options: Any) -> AsgiWire:
    return AsgiWire(asgi.receive, asgi.send, ServerOptions(**options))


@virtual_time
async def test_frames_both_ways_and_a_close_behind_them() -> None:
    asgi = _Asgi()
    frames: list[bytes | str | None] = []
    wire = _wire(asgi)
    await wire.accept("realtime")
    asgi.coming.put_nowait({"type": "websocket.receive", "text": "one"})
    asgi.coming.put_nowait({"type": "websocket.receive", "bytes": b"two"})
    wire.send("grüße".encode())
    wire.close(1001, "over")
    wire.close(1000, "a second one")
    wire.send(b"too late")
    await wire.run(frames.append)
    assert [
        message.get("text") or message.get("code") or message["subprotocol"] for message in asgi.sent
    ] == [
        "realtime",
        "grüße",
        1001,
    ]
    assert frames == ["one", None]


@virtual_time
async def test_a_client_that_leaves() -> None:
    asgi = _Asgi()
    wire = _wire(asgi)
    await wire.accept(None)
    asgi.coming.put_nowait({"type": "websocket.disconnect", "code": 1006})
    await wire.run(lambda frame: None)
    wire.send(b"nobody is there")
    assert len(asgi.sent) == 1


@virtual_time
async def test_a_client_that_never_agrees_to_the_close() -> None:
    asgi = _Asgi()
    asgi.answers_close = False
    wire = _wire(asgi)
    await wire.accept(None)
    wire.close(1000, "")
    await wire.run(lambda frame: None)
    assert asyncio.get_running_loop().time() == pytest.approx(CLOSE_S)


@virtual_time
async def test_a_client_that_does_not_read_is_no_burden() -> None:
    asgi = _Asgi()
    wire = _wire(asgi, outgoing_bytes=64 << 10)
    await wire.accept(None)
    running = asyncio.get_running_loop().create_task(wire.run(lambda frame: None))
    asgi.open.clear()
    for _ in range(1000):
        wire.send(b"a" * 1000, audio=True)
    await elapse(1)
    assert wire._outgoing.size <= 64 << 10
    wire.send(b"an event")
    asgi.open.set()
    await elapse(1)
    assert asgi.sent[-1]["text"] == "an event"
    for _ in range(100):
        wire.send(b"e" * 1000)
    await running
    assert asgi.sent[-1]["code"] == 1008


@virtual_time
async def test_a_failure_of_the_session_is_not_hidden() -> None:
    asgi = _Asgi()
    wire = _wire(asgi)
    await wire.accept(None)
    asgi.coming.put_nowait({"type": "websocket.receive", "text": "one"})

    def fails(frame: object) -> None:
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault of ours"):
        await wire.run(fails)


def test_the_quicker_way_is_taken_where_it_is_offered() -> None:
    made = object()
    scope: Any = {"extensions": {EXTENSION: lambda options: made}}
    nothing: Any = None
    assert wire_of(scope, nothing, nothing, ServerOptions()) is made
