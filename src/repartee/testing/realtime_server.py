"""A server of the OpenAI Realtime protocol within the process, that says what a script tells it.

Whatever speaks the protocol can be tested against it over a real socket, without a key or a network::

    async with ScriptedRealtimeServer(["It is noon.", call_function("get_time", zone="UTC")]) as server:
        client = AsyncOpenAI(base_url=server.base_url, api_key="any")
        ...
        assert server.connections[0].count("response.create") == 2

A test without an event loop, or one that runs another program, lets it run in a thread of its own::

    with ScriptedRealtimeServer().in_thread() as server:
        subprocess.run([...], env={**os.environ, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "any"})

And on virtual time there is no socket at all: ``RealtimeModel(connector=server.connect)``.

For a client in another language, or by hand, it runs by itself:
``python -m repartee.testing.realtime_server --port 8090``.

It hears by loudness (server VAD and semantic VAD alike) and understands the voices of this test kit; for other audio,
say beforehand what it hears: ``transcripts=``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from repartee.clock import wall_time
from repartee.errors import MissingDependencyError, ModelConnectionError, UsageError
from repartee.protocol.connection import SERVER, Connection
from repartee.protocol.faults import BETA_DISABLED, INVALID_API_KEY, INVALID_MODEL, Fault
from repartee.protocol.outlet import counted_ids
from repartee.protocol.sessions import SessionKind, default_session
from repartee.testing.realtime_connection import ServedConnection, ServerManner
from repartee.testing.realtime_faults import WireFault, WireFaultPlan
from repartee.testing.realtime_replies import ServerReplies, ServerScript
from repartee.testing.realtime_voice import tones

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection

__all__ = ["MemoryLink", "ScriptedRealtimeServer"]

SESSION_S = 3600.0
"""How long a session lasts at the service."""
KEPT_AUDIO_BYTES = 64 << 20
FRAME_BYTES_MAX = 32 << 20


class ScriptedRealtimeServer:
    """Answers as scripted, and remembers what it was sent.

    Args:
        script: replies in order; or by the words asked (``"*"`` for any others); or a function of the `Question`. A
            reply is text, a `Reply`, a call (`call_function`), or a `FailedReply`. ``None``: says again what was said.
        manner: how it hears and speaks. Default: `ServerManner`.
        api_key: the key that is right. ``None``: any, or none.
        models: the names that it knows. ``None``: any.
        session_s: how long a session may last; then it expires. Default: an hour.
        faults: what goes wrong with its connections (`drop`, `freeze`, `lag`, `refuse`).
        host: to listen on. Default: this machine only.
        port: to listen on. Default: a free one.
    """

    def __init__(
        self,
        script: ServerScript | None = None,
        *,
        manner: ServerManner | None = None,
        api_key: str | None = None,
        models: Collection[str] | None = None,
        session_s: float = SESSION_S,
        faults: Sequence[WireFault] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.replies = ServerReplies(script)
        """Where the answers of all connections come from."""
        self.manner = manner or ServerManner()
        self.connections: list[ServedConnection] = []
        """Every connection whose handshake succeeded, in order; also those that are over."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        """Path and headers (names in lower case) of every handshake, in order."""
        self._api_key = api_key
        self._models = models
        self._session_s = session_s
        self._faults = tuple(faults)
        self._host, self._port = host, port
        self._server: Server | None = None

    # -- listening ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen.

        Raises:
            MissingDependencyError: the package ``websockets`` (extra ``testing``) is not installed.
        """
        try:
            from websockets.asyncio.server import serve
        except ImportError:
            raise MissingDependencyError(
                "a scripted server on a socket",
                package="websockets",
                extra="testing",
                detail="in memory it needs none: RealtimeModel(connector=server.connect)",
            ) from None
        self._server = await serve(
            self._serve,
            self._host,
            self._port,
            select_subprotocol=lambda _, offered: "realtime" if "realtime" in offered else None,  # type: ignore[arg-type, return-value]
            process_request=self._greet,
            max_size=FRAME_BYTES_MAX,
            compression=None,
            ping_interval=None,
            close_timeout=1,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def aclose(self) -> None:
        """Close every connection, and stop listening. Idempotent."""
        for connection in self.connections:
            await connection.aclose()
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    async def __aenter__(self) -> ScriptedRealtimeServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @contextmanager
    def in_thread(self) -> Iterator[ScriptedRealtimeServer]:
        """Run in a thread of its own within the block. What it remembers is read best behind the block."""
        ready = threading.Event()
        loop = asyncio.new_event_loop()
        failure: list[BaseException] = []
        stop = asyncio.Event()

        async def serve() -> None:
            try:
                await self.start()
            except Exception as error:
                failure.append(error)
                return
            finally:
                ready.set()
            await stop.wait()
            await self.aclose()

        def run() -> None:
            try:
                loop.run_until_complete(serve())
            finally:
                loop.close()

        thread = threading.Thread(target=run, name="realtime_server", daemon=True)
        thread.start()
        ready.wait()
        try:
            if failure:
                raise failure[0]
            yield self
        finally:
            if not failure:
                loop.call_soon_threadsafe(stop.set)
            thread.join()

    @property
    def base_url(self) -> str:
        """For ``base_url=`` or the environment's ``OPENAI_BASE_URL``."""
        return f"http://{self._host}:{self._port}/v1"

    @property
    def url(self) -> str:
        """Of the WebSocket, without a query."""
        return f"ws://{self._host}:{self._port}/v1/realtime"

    @property
    def connection(self) -> ServedConnection:
        """The newest connection.

        Raises:
            UsageError: there was none yet.
        """
        if not self.connections:
            raise UsageError("nobody has connected to the scripted server yet")
        return self.connections[-1]

    # -- connections -------------------------------------------------------------------------------------------

    def _open(self, path: str, headers: Mapping[str, str]) -> tuple[_Opening, int | None]:
        """Judge a handshake. Returns what to make of it, and the HTTP status with which it is refused, if it is."""
        headers = {name.lower(): value for name, value in headers.items()}
        self.requests.append((path, headers))
        plan = WireFaultPlan(self._faults, len(self.requests))
        url = urlsplit(path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        status = plan.refusal
        kind: SessionKind = "realtime"
        if url.path.endswith("/translations"):
            kind = "translation"
        elif query.get("intent") == "transcription":
            kind = "transcription"
        if status is None and not url.path.endswith(("/realtime", "/realtime/translations")):
            status = 404
        return _Opening(plan, kind, query.get("model", ""), self._turned_away(query, headers)), status

    def _turned_away(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Fault | None:
        offered = [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",")]
        keys = [each.partition("insecure-api-key.")[2] for each in offered if "insecure-api-key." in each]
        keys += [headers.get("api-key", ""), headers.get("authorization", "").removeprefix("Bearer ")]
        if self._api_key is not None and self._api_key not in keys:
            return INVALID_API_KEY
        if "realtime=v1" in headers.get("openai-beta", "") or "openai-beta.realtime-v1" in offered:
            return BETA_DISABLED
        model = query.get("model", "")
        known = self._models is None or model in self._models
        return None if known or "intent" in query else INVALID_MODEL

    def _begin(self, opening: _Opening, wire: Any) -> ServedConnection:
        number = len(self.requests)
        new_id = counted_ids(f"s{number}x")
        session = default_session(
            opening.kind,
            id=new_id("sess"),
            model=opening.model,
            expires_at=int(wall_time() + self._session_s),
        )
        protocol = Connection(SERVER, session=session, new_id=new_id, audio_bytes_max=KEPT_AUDIO_BYTES)
        connection = ServedConnection(number, protocol, wire, self.replies, self.manner, opening.plan)
        self.connections.append(connection)
        connection.start(limit_s=self._session_s, fault=opening.fault, model=opening.model)
        return connection

    # -- over a socket -----------------------------------------------------------------------------------------

    def _greet(self, socket: ServerConnection, request: Any) -> Any:
        opening, status = self._open(request.path, dict(request.headers.raw_items()))
        if status is not None:
            return socket.respond(status, '{"error":{"message":"refused by the script","code":null}}')
        socket.opening = opening  # type: ignore[attr-defined]
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        connection = self._begin(socket.opening, _SocketWire(socket))  # type: ignore[attr-defined]
        try:
            async for frame in socket:
                connection.receive(frame if isinstance(frame, str) else b"\x00" + frame)
        except ConnectionClosed:
            pass  # without a close frame: that is how many clients leave
        finally:
            await connection.aclose()

    # -- in memory ---------------------------------------------------------------------------------------------

    async def connect(
        self,
        request: Any,
        *,
        on_message: Callable[[bytes], None],
        on_close: Callable[[int, str], None],
    ) -> MemoryLink:
        """A connection without a socket, for virtual time: a connector for ``RealtimeModel(connector=…)``.

        Args:
            request: has a ``url`` and ``headers``.
            on_message: called with each frame.
            on_close: called with code and reason when the server closes (1006: it broke off).

        Raises:
            ModelConnectionError: the handshake was refused.
        """
        url = urlsplit(request.url)
        opening, status = self._open(f"{url.path}?{url.query}", request.headers)
        if status is not None:
            later = status == 429 or status >= 500
            raise ModelConnectionError(
                f"the server refused the connection (HTTP {status})", stage="realtime", recoverable=later
            )
        link = MemoryLink(on_message, on_close)
        link.served = self._begin(opening, _MemoryWire(link))
        return link


class _Opening:
    """What a handshake asked for."""

    __slots__ = ("fault", "kind", "model", "plan")

    def __init__(self, plan: WireFaultPlan, kind: SessionKind, model: str, fault: Fault | None) -> None:
        self.plan = plan
        self.kind = kind
        self.model = model
        self.fault = fault


class _SocketWire:
    """A `Wire` over a WebSocket."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket

    async def send(self, frame: bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._socket.send(frame, text=True)
        except ConnectionClosed:
            raise ConnectionError("the client is gone") from None

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason)

    def abort(self) -> None:
        self._socket.transport.abort()

    def freeze(self) -> None:
        self._socket.transport.pause_reading()


class MemoryLink:
    """The client's end of a connection in memory."""

    def __init__(self, on_message: Callable[[bytes], None], on_close: Callable[[int, str], None]) -> None:
        self._on_message = on_message
        self._on_close = on_close
        self._open = True
        self.served: ServedConnection | None = None
        """The server's end."""
        self.unsent_bytes = 0
        """Nothing ever waits."""

    def send(self, frame: bytes) -> None:
        """Send one frame to the server. When the connection is over, nothing happens."""
        if self._open and self.served is not None:
            asyncio.get_running_loop().call_soon(self.served.receive, frame)

    async def aclose(self) -> None:
        """Leave; ``on_close`` is not called. Idempotent."""
        self._open = False
        if self.served is not None:
            await self.served.aclose()

    def deliver(self, frame: bytes) -> None:
        """Hand a frame from the server to the client."""
        if self._open:
            self._on_message(frame)

    def end(self, code: int, reason: str) -> None:
        """Tell the client that the server has closed."""
        if self._open:
            self._open = False
            self._on_close(code, reason)


class _MemoryWire:
    """A `Wire` in memory."""

    def __init__(self, link: MemoryLink) -> None:
        self._link = link

    async def send(self, frame: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._link.deliver, frame)

    async def close(self, code: int, reason: str) -> None:
        asyncio.get_running_loop().call_soon(self._link.end, code, reason)

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self._link.end, 1006, "")

    def freeze(self) -> None:
        """The connection reads nothing any more by itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted; the first line printed is the base URL.

    Args:
        arguments: of the command line. Default: this program's.
    """
    parser = argparse.ArgumentParser(
        prog="python -m repartee.testing.realtime_server",
        description="A Realtime server that needs no key and says what it is told, or again what it hears.",
    )
    parser.add_argument("replies", nargs="*", help="answers in order, then round again; none: what was said")
    parser.add_argument("--host", default="127.0.0.1", help="to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=0, help="to listen on (default: a free one)")
    parser.add_argument("--api-key", help="the key that is right (default: any)")
    args = parser.parse_args(arguments)
    again = itertools.cycle(args.replies)
    server = ScriptedRealtimeServer(
        (lambda _: next(again)) if args.replies else None,
        manner=ServerManner(voice=tones),
        api_key=args.api_key,
        host=args.host,
        port=args.port,
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve_forever(server))


async def _serve_forever(server: ScriptedRealtimeServer) -> None:
    async with server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()
