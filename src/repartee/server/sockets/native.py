"""A WebSocket for uvicorn with a native core (picows), which calls us with each frame.

Nearly all that a server of voice does is to take frames in and send frames out. Plain ASGI costs a queue, an event and
a turn of the loop for each; here a frame is one call, both ways. The handshake is ASGI as ever: uvicorn reads the
request's head, the application judges it, and only when it accepts is the connection handed to picows.

An application that knows the extension of the scope (`repartee.server.sockets.wire.EXTENSION`) is needed: it takes
frames by callback. docs/dependencies.md has what was measured.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import unquote

from picows import WSListener, WSMsgType, WSUpgradeResponse, WSUpgradeResponseWithListener
from picows.picows import WSAutoPingStrategy, WSProtocol  # type: ignore[attr-defined]
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from repartee.server.options import LoadOptions
from repartee.server.sockets.outgoing import Outgoing, Taken
from repartee.server.sockets.wire import CLOSE_S, EXTENSION, SLOW, TURN_FRAMES, OnFrame

__all__ = ["NativeWire", "native_protocol"]

log = logging.getLogger("repartee.server")

# Of its own, and never below warnings: at the level of debugging picows logs whole requests, and keys are in them.
_quiet: Final = logging.Logger("repartee.server.picows", logging.WARNING)


class _Told(logging.Handler):
    """Passes on what picows logs. What a client does wrong is no error of the server's, though picows says so."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is None:
            record.levelno, record.levelname = logging.INFO, "INFO"
        if log.isEnabledFor(record.levelno):
            log.handle(record)


_quiet.addHandler(_Told())

# Looked up once: a member of an enumeration is found through its metaclass, and every frame asks.
TEXT: Final = WSMsgType.TEXT
CLOSE: Final = WSMsgType.CLOSE
HEAD_BYTES_MAX: Final = 16 << 10
"""picows reads no longer one."""
VERSION: Final = b"13"
"""Of the WebSocket protocol (RFC 6455, section 4.1)."""
REASON_BYTES_MAX: Final = 123
COPIED_BYTES_MAX: Final = 8192
"""picows copies no larger frame before it sends it."""
HEAD_ROOM_BYTES: Final = 14
"""The longest head of a frame (RFC 6455, section 5.2)."""
READ_BUFFER_BYTES: Final = 16 << 10
TURN_S: Final = 0.01
"""In so long a client has its `TURN_FRAMES` answered; the rest waits until the others have had a turn."""


class NativeWire(WSListener):
    """A `Wire` whose frames picows reads and writes.

    Args:
        connection: whose it is.
        options: bounds.
    """

    def __init__(self, connection: _Connection, options: LoadOptions) -> None:
        self._connection = connection
        self._frame_bytes = options.frame_bytes
        self._outgoing = Outgoing(options.outgoing_bytes, options.slow_consumer)
        self._transport: Any = None
        self._on_frame: OnFrame | None = None
        self._parts: list[bytes] | None = None
        self._parts_bytes = 0
        self._parts_are_text = False
        self._paused = False
        self._closing: tuple[int, str] | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()
        self._time = asyncio.get_running_loop().time
        self._turn_s = 0.0  # when its turn began
        self._turn_frames = 0  # that it has had in it
        self._late: deque[tuple[Any, bool, Any]] = deque()  # bounded by what was read when reading was paused

    # -- `Wire` ------------------------------------------------------------------------------------------------

    def send(self, frame: bytes, *, audio: bool = False) -> None:
        """Send a text frame."""
        if self._closing is not None or self._transport is None:
            return
        if self._transport.underlying_transport.is_closing():
            return  # the client is gone; what it sent before is still being answered
        if not self._paused:
            self._write(frame)
        elif self._outgoing.put(frame, audio=audio) is Taken.OVERFLOW:
            self._outgoing.clear()
            self.close(*SLOW)

    def _write(self, frame: bytes) -> None:
        if len(frame) <= COPIED_BYTES_MAX:
            self._transport.send(TEXT, frame)
            return
        # Of a larger frame `send` gives the transport a view of the head, and writes the next head into the same
        # place. A transport that keeps the view until the socket takes it (asyncio since Python 3.12, uvloop) sends
        # the wrong head then.
        room = bytearray(HEAD_ROOM_BYTES)
        room += frame
        self._transport.send_reuse_external_bytearray(TEXT, room, HEAD_ROOM_BYTES)

    def close(self, code: int, reason: str) -> None:
        """Close behind what was sent."""
        if self._closing is None:
            self._closing = (code, reason)
            # Whatever the client does, and however little it reads, this is the end.
            self._close_timer = asyncio.get_running_loop().call_later(CLOSE_S, self._abort)
            if not self._outgoing:
                self._say_close()

    async def accept(self, subprotocol: str | None) -> None:
        """Finish the handshake."""
        self._connection.take_over(self, subprotocol)

    async def run(self, on_frame: OnFrame) -> None:
        """Call with each frame until the connection is over."""
        self._on_frame = on_frame
        self._connection.resume()
        try:
            await self._over.wait()
        finally:
            self._on_frame = None
            if not self._over.is_set():
                self._abort()

    # -- what picows calls -------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: Any) -> None:
        """The handshake is done."""
        self._transport = transport

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """A frame came."""
        if frame.payload_size > self._frame_bytes:
            return  # picows has begun to close, but gives what it has read already
        kind = frame.msg_type
        now = self._time()
        if now - self._turn_s >= TURN_S:
            self._turn_s = now
            self._turn_frames = 0
        self._turn_frames += 1
        if self._turn_frames > TURN_FRAMES or self._late:
            if not self._late:
                self._connection.pause()
                asyncio.get_running_loop().call_soon(self._catch_up)
            content = frame.get_close_code() if kind is CLOSE else frame.get_payload_as_bytes()
            self._late.append((kind, frame.fin, content))
        elif kind is TEXT and frame.fin and self._parts is None:
            if self._on_frame is not None and self._closing is None:
                self._on_frame(frame.get_payload_as_bytes())
        elif kind is CLOSE:
            self._take(kind, True, frame.get_close_code())
        else:
            self._take(kind, frame.fin, frame.get_payload_as_bytes())

    def _catch_up(self) -> None:
        """The others have had their turn."""
        for _ in range(min(TURN_FRAMES, len(self._late))):
            self._take(*self._late.popleft())
        if self._late:
            asyncio.get_running_loop().call_soon(self._catch_up)
        elif self._transport is not None:
            self._connection.resume()

    def _take(self, kind: Any, fin: bool, content: Any) -> None:
        """A whole message, a part of one, or the close (its code)."""
        if kind is TEXT and fin and self._parts is None:
            if self._on_frame is not None and self._closing is None:
                self._on_frame(content)
        elif kind is CLOSE:
            if self._transport is None:
                return
            if self._closing is None:
                code = int(content)
                self._transport.send_close(code if code >= 1000 and code != 1005 else 1000)
            self._transport.disconnect()
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._take_part(kind, fin, content)

    def _take_part(self, kind: Any, fin: bool, content: bytes) -> None:
        """A part of a message, or a binary one."""
        if kind == WSMsgType.CONTINUATION:
            if self._parts is None:
                self.close(1002, "A continuation of nothing.")
                return
        else:
            self._parts, self._parts_bytes = [], 0
            self._parts_are_text = kind == WSMsgType.TEXT
        self._parts_bytes += len(content)
        if self._parts_bytes > self._frame_bytes:
            self._parts = None
            self.close(1009, f"At most {self._frame_bytes} bytes are read.")
            return
        if self._parts_are_text:
            self._parts.append(content)
        if fin:
            whole = b"".join(self._parts) if self._parts_are_text else None
            self._parts = None
            if self._on_frame is not None and self._closing is None:
                self._on_frame(whole)

    def on_ws_disconnected(self, transport: Any) -> None:
        """It is over."""
        self._transport = None
        if self._outgoing.dropped:
            log.warning("a client read too slowly: %d frames of audio were dropped", self._outgoing.dropped)
        self._outgoing.clear()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._over.set()
        self._connection.ended()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused = False
        while self._outgoing and not self._paused and self._transport is not None:
            self._write(self._outgoing.pop())
        if self._closing is not None and not self._outgoing:
            self._say_close()

    # ----------------------------------------------------------------------------------------------------------

    def _say_close(self) -> None:
        if self._transport is not None and self._closing is not None:
            code, reason = self._closing
            self._transport.send_close(code, reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore"))

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.underlying_transport.abort()


class _Connection(asyncio.Protocol):
    """One upgrade, as uvicorn hands it over: the head is there; what becomes of it the application says."""

    def __init__(
        self, options: LoadOptions, config: Any, server_state: Any, app_state: dict[str, Any]
    ) -> None:
        self._options = options
        self._app = config.loaded_app
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._head = b""
        self._tail = b""
        self._picows: Any = None
        self._wire: NativeWire | None = None
        self._refusal: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._answered = False
        self._gone = asyncio.Event()

    # -- what uvicorn and the loop call ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is ours."""
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """The head, written anew by uvicorn; or, seldom, what came before we paused."""
        if self._head:
            self._tail += data
            return
        self._head = data
        self._transport.pause_reading()  # until somebody is there to take frames
        if len(data) > HEAD_BYTES_MAX:
            self._answer(431, [], b"")
            return
        scope = _scope(self._transport, data, self)
        if dict(scope["headers"]).get(b"sec-websocket-version") != VERSION:  # picows doesn't look
            self._answer(426, [(b"sec-websocket-version", VERSION)], b"")
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._run(scope), name="repartee.server.socket")
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def connection_lost(self, exc: Exception | None) -> None:
        """It broke before it was accepted."""
        self._gone.set()
        self.ended()

    def shutdown(self) -> None:
        """The server stops."""
        if self._wire is not None:
            self._wire.close(1012, "The server is restarting.")
        else:
            self._answer(503, [(b"retry-after", b"5")], b"")

    # -- what the wire calls -----------------------------------------------------------------------------------

    def take_over(self, wire: NativeWire, subprotocol: str | None) -> None:
        """Accept: picows answers the handshake, and has the connection from now on."""
        if self._answered:
            return
        if self._transport.is_closing():
            wire.on_ws_disconnected(None)
            return
        self._answered = True
        self._wire = wire
        headers = {"Sec-WebSocket-Protocol": subprotocol} if subprotocol is not None else {}
        made = WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(headers), wire)
        ping_s = self._options.ping_s
        self._picows = WSProtocol(
            None,
            None,
            False,  # the server's side
            lambda request: made,
            _quiet,
            True,  # an exception of ours ends the connection
            None,
            bool(ping_s),
            ping_s or 1,
            ping_s or 1,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            True,
            self._options.frame_bytes,
            None,
            READ_BUFFER_BYTES,
        )
        self._picows.connection_made(self._transport)
        self._transport.set_protocol(self._picows)
        self._feed(self._head)
        if wire._transport is None:  # picows has refused it
            wire.on_ws_disconnected(None)

    def pause(self) -> None:
        """Nobody takes frames for a while."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Somebody takes frames now."""
        tail, self._tail = self._tail, b""
        if tail:
            self._feed(tail)
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def ended(self) -> None:
        """It is over."""
        self._state.connections.discard(self)

    def _feed(self, data: bytes) -> None:
        while data:
            room = self._picows.get_buffer(-1)
            part, data = data[: len(room)], data[len(room) :]
            room[: len(part)] = part
            self._picows.buffer_updated(len(part))

    # -- ASGI --------------------------------------------------------------------------------------------------

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, self._receive, self._send)
        except Exception:
            log.exception("a WebSocket failed")
        finally:
            if self._wire is None:
                self._answer(500, [], b"")
            elif not self._transport.is_closing():
                self._transport.close()

    async def _receive(self) -> dict[str, Any]:
        if not self._answered and not self._gone.is_set():
            return {"type": "websocket.connect"}
        await self._gone.wait()
        return {"type": "websocket.disconnect", "code": 1006}

    async def _send(self, message: Any) -> None:
        kind = message["type"]
        if kind == "websocket.http.response.start":
            self._refusal = (message["status"], list(message.get("headers", ())))
        elif kind == "websocket.http.response.body" and self._refusal is not None:
            self._answer(*self._refusal, message.get("body", b""))
        elif kind == "websocket.close":
            self._answer(403, [], b"")
        else:
            raise RuntimeError(f"{kind} is not known here: this WebSocket goes by {EXTENSION!r}")

    def _answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Refuse the upgrade."""
        if self._answered or self._transport.is_closing():
            return
        self._answered = True
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
        given = {name.lower() for name, _ in headers}
        lines += [name + b": " + value for name, value in headers]
        if b"content-length" not in given:
            lines.append(b"content-length: %d" % len(body))
        lines += [b"connection: close", b"", body]
        self._transport.write(b"\r\n".join(lines))
        self._transport.close()


def native_protocol(options: LoadOptions) -> Any:
    """What uvicorn makes for each upgrade (``ws=``).

    Args:
        options: bounds.
    """

    def make(config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> _Connection:
        return _Connection(options, config, server_state, app_state)

    return make


def _scope(transport: asyncio.Transport, head: bytes, connection: _Connection) -> dict[str, Any]:
    """The ASGI scope of a request's head."""
    request, *lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    target = request.split(b" ")[1]
    raw_path, _, query = target.partition(b"?")
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name.strip().lower(), value.strip()))
    offered = [
        each.strip().decode("latin-1")
        for name, value in headers
        if name == b"sec-websocket-protocol"
        for each in value.split(b",")
    ]
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if is_ssl(transport) else "ws",
        "server": get_local_addr(transport),
        "client": get_remote_addr(transport),
        "root_path": connection._config.root_path,
        "path": connection._config.root_path + unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "query_string": query,
        "headers": headers,
        "subprotocols": offered,
        "state": connection._app_state.copy(),
        "extensions": {
            "websocket.http.response": {},
            EXTENSION: lambda options: NativeWire(connection, options),
        },
    }
