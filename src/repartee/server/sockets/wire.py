"""One WebSocket, as a session's listener needs it: sends at once, never blocks, and calls back with each frame.

`AsgiWire` does it over plain ASGI, under any server. The server that `repartee serve` runs offers a quicker way
(`native.py`); `wire_of` takes it where it is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from starlette.types import Receive, Scope, Send

from repartee.server.options import LoadOptions
from repartee.server.sockets.outgoing import Outgoing, Taken

__all__ = ["EXTENSION", "SLOW", "AsgiWire", "OnFrame", "Wire", "wire_of"]

log = logging.getLogger("repartee.server")

EXTENSION: Final = "repartee.websocket"
"""Of the ASGI scope: a function that makes a `Wire` (options → wire)."""

TURN_FRAMES: Final = 32
"""Frames of one client that are answered before the others have a turn."""
CLOSE_S: Final = 5.0
"""From our close to the end of the connection, whether or not the client agrees."""

SLOW: Final = (1008, "The client reads too slowly.")

OnFrame = Callable[[bytes | str | None], None]
"""Is called with each text frame; with ``None`` for a binary one. Must not raise."""


class Wire(Protocol):
    """One WebSocket."""

    def send(self, frame: bytes, *, audio: bool = False) -> None:
        """Send a text frame (UTF-8); when the connection is over, nothing happens."""

    def close(self, code: int, reason: str) -> None:
        """Close behind what was sent. The first close counts."""

    async def accept(self, subprotocol: str | None) -> None:
        """Finish the handshake."""

    async def run(self, on_frame: OnFrame) -> None:
        """Call with each frame until the connection is over."""


def wire_of(scope: Scope, receive: Receive, send: Send, options: LoadOptions) -> Wire:
    """The best wire that the ASGI server offers for a WebSocket."""
    make: Callable[[LoadOptions], Wire] | None = scope.get("extensions", {}).get(EXTENSION)
    return make(options) if make is not None else AsgiWire(receive, send, options)


class AsgiWire:
    """A WebSocket over plain ASGI.

    Args:
        receive: of ASGI.
        send: of ASGI.
        options: bounds what waits.
    """

    def __init__(self, receive: Receive, send: Send, options: LoadOptions) -> None:
        self._receive = receive
        self._send = send
        self._outgoing = Outgoing(options.outgoing_bytes, options.slow_consumer)
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._over = False

    def send(self, frame: bytes, *, audio: bool = False) -> None:
        """Send a text frame."""
        if self._closing is None and not self._over:
            if self._outgoing.put(frame, audio=audio) is Taken.OVERFLOW:
                self._outgoing.clear()
                self.close(*SLOW)
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close behind what was sent."""
        if self._closing is None:
            self._closing = (code, reason)
            self._wake.set()

    async def accept(self, subprotocol: str | None) -> None:
        """Finish the handshake."""
        await self._receive()  # websocket.connect
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})

    async def run(self, on_frame: OnFrame) -> None:
        """Call with each frame until the connection is over."""
        writer = asyncio.get_running_loop().create_task(self._write(), name="repartee.server.write")
        reader = asyncio.get_running_loop().create_task(self._read(on_frame), name="repartee.server.read")
        try:
            await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
            if not reader.done():  # we have closed; the client has a little time to agree
                await asyncio.wait((reader,), timeout=CLOSE_S)
        finally:
            self._over = True
            if self._outgoing.dropped:
                log.warning(
                    "a client read too slowly: %d frames of audio were dropped", self._outgoing.dropped
                )
            for task in (writer, reader):
                task.cancel()
            results = await asyncio.gather(writer, reader, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not _is_gone(result):
                raise result

    async def _read(self, on_frame: OnFrame) -> None:
        frames = 0
        while True:
            message: Any = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            on_frame(message.get("text"))
            frames += 1
            if frames % TURN_FRAMES == 0:
                await asyncio.sleep(0)  # what has come already is received at once, so nobody else had a turn

    async def _write(self) -> None:
        while True:
            if self._outgoing:
                frame = self._outgoing.pop()
                await self._send({"type": "websocket.send", "text": frame.decode()})
            elif self._closing is not None:
                code, reason = self._closing
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
                return
            else:
                self._wake.clear()
                await self._wake.wait()


def _is_gone(error: Exception) -> bool:
    # ASGI says OSError; uvicorn raises one of its own by that base, older servers a RuntimeError behind the end.
    return isinstance(error, OSError | RuntimeError)
